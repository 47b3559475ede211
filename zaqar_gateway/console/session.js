// Who is signed in.  A token lives as long as the tab does, and nowhere else.

const KEY = "zaqar-gateway:session";
const CLIENT = "zaqar-gateway:client";

/**
 * @typedef {object} Session
 * @property {string} project its id.
 * @property {string} projectName
 * @property {string} client
 * @property {string} roles as X-ROLES has them; without a token only.
 * @property {string} token empty where the gateway asks for none.
 * @property {string} user the id of who has the token; empty without one.
 * @property {string} userName
 * @property {number} expires when the token ends, in milliseconds since the epoch; 0: never.
 */

/** @returns {Session|null} */
export function load() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY));
  } catch {
    return null;
  }
}

export const save = session => sessionStorage.setItem(KEY, JSON.stringify(session));

/** Forget who was signed in, and all that belongs to them. */
export const forget = () => sessionStorage.clear();

/** The Client-ID of this browser. */
export function ownClient() {
  let client = localStorage.getItem(CLIENT);
  if (!client) {
    client = newClient();
    localStorage.setItem(CLIENT, client);
  }
  return client;
}

export const keepClient = client => localStorage.setItem(CLIENT, client);

/** A random UUID, also where the page did not come by TLS and `crypto.randomUUID` is missing (RFC 9562, version 4). */
export function newClient() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const digits = Array.from(bytes, byte => byte.toString(16).padStart(2, "0")).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
