// What JSON has, and byte strings. Integers beyond 2**53 are BigInt.

/** What JSON.stringify writes; `undefined` is left out. */
function seen(one, name) {
  const asks = typeof one === "object" && typeof one?.toJSON === "function" && !(one instanceof Uint8Array);
  const found = asks ? one.toJSON(name) : one;
  return typeof found === "function" || typeof found === "symbol" ? undefined : found;
}

export function encode(value) {
  const text = new TextEncoder();
  let bytes = new Uint8Array(256);
  let view = new DataView(bytes.buffer);
  let end = 0;

  function take(count) {
    const at = end;
    end += count;
    if (end > bytes.length) {
      const grown = new Uint8Array(end * 2);
      grown.set(bytes);
      bytes = grown;
      view = new DataView(bytes.buffer);
    }
    return at;
  }

  function put(byte, size = 0, number = 0, kind = "Uint") {
    const at = take(1 + size);
    bytes[at] = byte;
    if (size) view[`set${kind}${size * 8}`](at + 1, number);
  }

  // A code of 0 is none.
  function length(count, fixed, short, code8, code16) {
    if (count < short) put(fixed | count);
    else if (code8 && count < 0x100) put(code8, 1, count);
    else if (count < 0x10000) put(code16, 2, count);
    else put(code16 + 1, 4, count);
  }

  function integer(one) {
    const number = Number(one);
    if (number >= -0x20 && number < 0x80) return put(number & 0xff);
    if (one < -(2n ** 63n) || one >= 2n ** 64n) throw new RangeError(`${one} has more than 64 bits`);
    const [code, span] = number < 0 ? [0xd0, -2 * number - 1] : [0xcc, number];
    const power = [0, 1, 2].find(power => span < 2 ** (8 << power));
    if (power === undefined) put(code + 3, 8, BigInt(one), "BigUint");
    else put(code + power, 1 << power, number);
  }

  function copy(content) {
    const at = take(content.length);
    bytes.set(content, at);
  }

  function write(one) {
    if (one === null || one === undefined) put(0xc0);
    else if (typeof one === "boolean") put(one ? 0xc3 : 0xc2);
    else if (typeof one === "bigint" || (Number.isSafeInteger(one) && !Object.is(one, -0))) integer(one);
    else if (typeof one === "number") {
      if (Number.isFinite(one)) put(0xcb, 8, one, "Float");
      else put(0xc0);
    } else if (typeof one === "string") {
      // It has no UTF-8, and the gateway refuses it in JSON.
      if (/\p{Cs}/u.test(one)) throw new RangeError("a string has half of a surrogate pair");
      const content = text.encode(one);
      length(content.length, 0xa0, 32, 0xd9, 0xda);
      copy(content);
    } else if (one instanceof Uint8Array) {
      length(one.length, 0, 0, 0xc4, 0xc5);
      copy(one);
    } else if (Array.isArray(one)) {
      length(one.length, 0x90, 16, 0, 0xdc);
      Array.from(one, (each, at) => write(seen(each, `${at}`)));
    } else {
      const members = Object.entries(one).map(([name, each]) => [name, seen(each, name)]);
      const written = members.filter(member => member[1] !== undefined);
      length(written.length, 0x80, 16, 0, 0xde);
      written.flat(1).forEach(write);
    }
  }

  write(seen(value, ""));
  return bytes.subarray(0, end);
}

export function decode(from) {
  const bytes = ArrayBuffer.isView(from) ? new Uint8Array(from.buffer, from.byteOffset, from.byteLength) : new Uint8Array(from);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = new TextDecoder("utf-8", {fatal: true, ignoreBOM: true});
  let next = 0;

  function take(count) {
    const at = next;
    next += count;
    if (next > bytes.length) throw new RangeError("MessagePack ends early");
    return at;
  }

  const number = (size, kind = "Uint") => view[`get${kind}${size * 8}`](take(size));
  const string = count => text.decode(bytes.subarray(take(count), next));
  const exact = big => (Number.isSafeInteger(Number(big)) ? Number(big) : big);

  function array(count) {
    const found = [];
    while (count--) found.push(read());
    return found;
  }

  function map(count) {
    const found = {};
    while (count--) {
      const name = read();
      // An assignment to __proto__ would make no member.
      Object.defineProperty(found, name, {value: read(), writable: true, enumerable: true, configurable: true});
    }
    return found;
  }

  function read() {
    const byte = bytes[take(1)];
    if (byte < 0x80) return byte;
    if (byte < 0x90) return map(byte & 0x0f);
    if (byte < 0xa0) return array(byte & 0x0f);
    if (byte < 0xc0) return string(byte & 0x1f);
    if (byte >= 0xe0) return byte - 0x100;
    if (byte === 0xc0) return null;
    if (byte === 0xc2 || byte === 0xc3) return byte === 0xc3;
    if (byte >= 0xc4 && byte <= 0xc6) return bytes.slice(take(number(1 << (byte - 0xc4))), next);
    if (byte === 0xca || byte === 0xcb) return number(4 << (byte - 0xca), "Float");
    if (byte >= 0xcc && byte <= 0xce) return number(1 << (byte - 0xcc));
    if (byte >= 0xd0 && byte <= 0xd2) return number(1 << (byte - 0xd0), "Int");
    if (byte === 0xcf || byte === 0xd3) return exact(number(8, byte === 0xcf ? "BigUint" : "BigInt"));
    if (byte >= 0xd9 && byte <= 0xdb) return string(number(1 << (byte - 0xd9)));
    if (byte === 0xdc || byte === 0xdd) return array(number(2 << (byte - 0xdc)));
    if (byte === 0xde || byte === 0xdf) return map(number(2 << (byte - 0xde)));
    throw new RangeError(`MessagePack code ${byte} is not of JSON`);
  }

  const value = read();
  if (next < bytes.length) throw new RangeError("MessagePack goes on after its value");
  return value;
}
