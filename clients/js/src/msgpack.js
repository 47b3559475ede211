// MessagePack as the gateway speaks it: what JSON has, and byte strings. Integers beyond 2**53 are BigInt.

/** The bytes of a value; what is undefined and what has toJSON is treated as JSON.stringify does. */
export function encode(value) {
  const text = new TextEncoder();
  let bytes = new Uint8Array(256);
  let view = new DataView(bytes.buffer);
  let end = 0;

  function room(count) {
    const start = end;
    end += count;
    if (end > bytes.length) {
      const grown = new Uint8Array(end * 2);
      grown.set(bytes);
      bytes = grown;
      view = new DataView(bytes.buffer);
    }
    return start;
  }

  function put(byte, size = 0, number = 0) {
    const at = room(1 + size);
    bytes[at] = byte;
    if (size === 1) bytes[at + 1] = number;
    else if (size === 2) view.setUint16(at + 1, number);
    else if (size === 4) view.setUint32(at + 1, number);
  }

  // A length: in the byte itself where it is short, else after one of the codes for 1, 2 and 4 bytes; 0 is no code.
  function length(count, fixed, short, code8, code16) {
    if (count < short) put(fixed | count);
    else if (code8 && count < 0x100) put(code8, 1, count);
    else if (count < 0x10000) put(code16, 2, count);
    else put(code16 + 1, 4, count);
  }

  function integer(number) {
    if (number >= -0x20 && number < 0x80) put(number & 0xff);
    else if (number >= 0 && number < 0x100) put(0xcc, 1, number);
    else if (number >= 0 && number < 0x10000) put(0xcd, 2, number);
    else if (number >= 0 && number < 0x100000000) put(0xce, 4, number);
    else if (number >= -0x80 && number < 0) put(0xd0, 1, number);
    else if (number >= -0x8000 && number < 0) put(0xd1, 2, number);
    else if (number >= -0x80000000 && number < 0) put(0xd2, 4, number);
    else {
      const big = BigInt(number);
      if (big < -(2n ** 63n) || big >= 2n ** 64n) throw new RangeError(`${number} has more than 64 bits`);
      const at = room(9);
      bytes[at] = big < 0n ? 0xd3 : 0xcf;
      view.setBigUint64(at + 1, BigInt.asUintN(64, big));
    }
  }

  function write(one) {
    if (one === null || one === undefined) put(0xc0);
    else if (typeof one === "boolean") put(one ? 0xc3 : 0xc2);
    else if (typeof one === "bigint") integer(one >= -0x80000000n && one < 0x100000000n ? Number(one) : one);
    else if (typeof one === "number") {
      if (Number.isSafeInteger(one) && !Object.is(one, -0)) return integer(one);
      const at = room(9);
      bytes[at] = 0xcb;
      view.setFloat64(at + 1, one);
    } else if (typeof one === "string" || one instanceof Uint8Array) {
      const content = typeof one === "string" ? text.encode(one) : one;
      if (content === one) length(one.length, 0, 0, 0xc4, 0xc5);
      else length(content.length, 0xa0, 32, 0xd9, 0xda);
      const at = room(content.length);
      bytes.set(content, at);
    } else if (one.toJSON) write(one.toJSON());
    else if (Array.isArray(one)) {
      length(one.length, 0x90, 16, 0, 0xdc);
      one.forEach(write);
    } else if (typeof one === "object") {
      const members = Object.entries(one).filter(member => member[1] !== undefined);
      length(members.length, 0x80, 16, 0, 0xde);
      members.flat(1).forEach(write);
    } else throw new TypeError(`MessagePack has no ${typeof one}`);
  }

  write(value);
  return bytes.subarray(0, end);
}

/** The value in an ArrayBuffer or a view of one. */
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

  const number = size => view[`getUint${size * 8}`](take(size));
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
    if (byte === 0xca) return view.getFloat32(take(4));
    if (byte === 0xcb) return view.getFloat64(take(8));
    if (byte >= 0xcc && byte <= 0xce) return number(1 << (byte - 0xcc));
    if (byte === 0xcf) return exact(view.getBigUint64(take(8)));
    if (byte === 0xd0) return view.getInt8(take(1));
    if (byte === 0xd1) return view.getInt16(take(2));
    if (byte === 0xd2) return view.getInt32(take(4));
    if (byte === 0xd3) return exact(view.getBigInt64(take(8)));
    if (byte >= 0xd9 && byte <= 0xdb) return string(number(1 << (byte - 0xd9)));
    if (byte === 0xdc || byte === 0xdd) return array(number(2 << (byte - 0xdc)));
    if (byte === 0xde || byte === 0xdf) return map(number(2 << (byte - 0xde)));
    throw new RangeError(`MessagePack code ${byte} is not of JSON`);
  }

  const value = read();
  if (next < bytes.length) throw new RangeError("MessagePack goes on after its value");
  return value;
}
