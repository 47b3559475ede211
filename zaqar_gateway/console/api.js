// The API of the gateway, as any client uses it.

import { parse } from "./format.js";
import { newClient } from "./session.js";

/** Where the gateway is: the folder above that of the console, whatever path a proxy put before it. */
export const BASE = new URL("../", import.meta.url);

/** The API said no, or nothing: `message` is the gateway's own text. */
export class ApiError extends Error {
  /**
   * @param {number} status 0: there was no answer.
   * @param {number} [retryAfter] seconds.
   */
  constructor(status, message, retryAfter = 0) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export class Api {
  /**
   * @param {import("./session.js").Session} session
   * @param {(error: ApiError) => void} unauthorized called where the token is not valid any more.
   */
  constructor(session, unauthorized = () => {}) {
    this.session = session;
    this._unauthorized = unauthorized;
  }

  get _headers() {
    const { client, token, project, roles } = this.session;
    const headers = { "Client-ID": wire(client) };
    if (token) headers["X-Auth-Token"] = wire(token);
    else headers["X-Project-ID"] = wire(project);
    if (!token && roles) headers["X-ROLES"] = wire(roles);
    return headers;
  }

  /**
   * Ask.
   *
   * @param {string} path below the gateway's, such as `v2/queues`; with a query, or one in `query`.
   * @param {string} [body] JSON text.
   * @returns {Promise<{status: number, data: any, headers: Headers}>}
   * @throws {ApiError}
   */
  async call(method, path, { query = {}, body, type = "application/json", signal } = {}) {
    const url = new URL(path, BASE);
    for (const [name, value] of Object.entries(query)) {
      if (value !== "" && value !== null && value !== undefined) url.searchParams.set(name, value);
    }
    const headers = { ...this._headers };
    if (body !== undefined) headers["Content-Type"] = type;
    const answer = await exchange(url, { method, headers, body, signal });
    if (answer.status === 401 && this.session.token) this._unauthorized(answer.error);
    if (answer.error) throw answer.error;
    return answer;
  }

  get(path, options) {
    return this.call("GET", path, options).then(answer => answer.data);
  }

  /**
   * A page of a listing, put together of pages as large as the gateway gives them.
   *
   * @param {string} from the path of the first one.
   * @param {string} key of its array.
   * @param {number} want how many at least, where there are so many.
   * @param {boolean} [options.sure] look whether a further page has anything: a listing names one behind its last page, too.
   * @returns {Promise<{items: any[], next: string, first: any, asked: number}>} `next`: the path of the next page, empty
   *   at the end; `asked`: how many pages it took.
   */
  async page(from, key, want, { signal, sure = false } = {}) {
    const items = [];
    let asked = 0;
    let first = null;
    let next = from;
    while (next && items.length < want) {
      const document = await this.get(next, { signal });
      first ??= document;
      asked += 1;
      items.push(...document[key]);
      const link = (document.links ?? []).find(one => one.rel === "next");
      next = document[key].length && link ? relative(link.href) : "";
    }
    if (sure && next && !(await this.get(next, { query: { limit: 1 }, signal }))[key].length) next = "";
    return { items, next, first, asked };
  }

  /**
   * The path of a queue, or of something in it.
   * @throws {ApiError} a browser cannot ask for it.
   */
  queue(name, ...rest) {
    if (!isReached(name)) throw new ApiError(0, `A browser cannot ask for the queue ${name}: it takes dots out of a path.`);
    return ["v2/queues", name, ...rest].map((part, index) => (index ? encodeURIComponent(part) : part)).join("/");
  }
}

/** Whether a browser can ask for a queue; it takes a part of a path that is one dot or two for a step, however it is written. */
export const isReached = name => name !== "." && name !== "..";

/** A text as the bytes of UTF-8, which is how headers take any characters. */
const wire = text => Array.from(new TextEncoder().encode(text), byte => String.fromCharCode(byte)).join("");

/** A path as the gateway tells it, below where it is. */
export const relative = href => String(href).replace(/^\/+/, "");

async function exchange(url, options) {
  let response, text;
  try {
    response = await fetch(url, { cache: "no-store", credentials: "omit", redirect: "error", ...options });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The gateway cannot be reached.");
  }
  const { status, headers } = response;
  let data = null;
  try {
    data = text ? parse(text) : null;
  } catch {
    if (response.ok) throw new ApiError(status, "The answer is not JSON.");
  }
  const error = response.ok ? null : new ApiError(status, told(status, data), Number(headers.get("Retry-After")) || 0);
  return { status, data, headers, error };
}

function told(status, data) {
  const text = data?.description || data?.error?.message || data?.title || data?.error;
  return typeof text === "string" && text ? text : `The gateway answered ${status}.`;
}

/** Whether this gateway wants tokens, as anybody is told who asks without one. */
export async function discover() {
  const headers = { "Client-ID": newClient(), "X-Project-ID": "console" };
  const { status, error } = await exchange(new URL("v2/ping", BASE), { headers });
  if (status !== 401 && error) throw error;
  return { keystone: status === 401 };
}

/**
 * Sign in by the gateway's Keystone.
 *
 * @param {object} what user, password, project and domains; or a token.
 */
export async function signIn(what) {
  const body = JSON.stringify(what);
  const { data, error } = await exchange(new URL("console/sign-in", BASE), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body,
  });
  if (error) throw error;
  return data;
}
