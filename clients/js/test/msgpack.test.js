// MessagePack against vectors that Python's msgpack has made; tests/clients/test_javascript.py keeps them so.

import assert from "node:assert/strict";
import {createHash} from "node:crypto";
import {readFileSync} from "node:fs";
import {describe, it} from "node:test";

import {decode, encode} from "../src/msgpack.js";

const vectors = JSON.parse(readFileSync(new URL("vectors.json", import.meta.url)));

const bytes = hex => Uint8Array.from(hex.match(/../g) ?? [], pair => parseInt(pair, 16));
const hex = found => Array.from(found, byte => byte.toString(16).padStart(2, "0")).join("");

/** The value that a vector stands for: JSON, save for what that has not. */
function value({json, integer, float, binary, text, list, members}) {
  if (integer !== undefined) return Number.isSafeInteger(Number(integer)) ? Number(integer) : BigInt(integer);
  if (float !== undefined) return Number(float);
  if (binary !== undefined) return Uint8Array.from({length: binary}, (_, at) => at % 256);
  if (text !== undefined) return "x".repeat(text);
  if (list !== undefined) return Array(list).fill(1);
  if (members !== undefined) return Object.fromEntries(Array.from({length: members}, (_, at) => [`k${at}`, at]));
  return json;
}

describe("MessagePack", () => {
  for (const vector of vectors) {
    it(`writes and reads ${vector.name}`, () => {
      const expected = value(vector);
      const written = vector.bytes === undefined ? encode(expected) : bytes(vector.bytes);
      assert.deepEqual(decode(written), expected);
      if (vector.sha256) assert.equal(createHash("sha256").update(written).digest("hex"), vector.sha256);
      else if (!vector.readOnly) assert.equal(hex(encode(expected)), vector.bytes);
    });
  }

  it("reads a view and a buffer", () => {
    const whole = bytes("ff93010203ff");
    assert.deepEqual(decode(whole.subarray(1, 5)), [1, 2, 3]);
    assert.deepEqual(decode(bytes("a161").buffer), "a");
    assert.deepEqual(decode(new DataView(whole.buffer, 1, 4)), [1, 2, 3]);
  });

  it("writes what JSON.stringify would", () => {
    const hidden = {toJSON() {}};
    const named = {toJSON: name => `as ${name}`};
    for (const one of [
      {a: undefined, b: new Date(0), c: [undefined], d() {}, e: Symbol("e"), f: hidden, g: named, h: {toJSON: "a member"}},
      [, 1, , () => 1, Symbol("f"), new Date(1), hidden, named, NaN, {a: -Infinity}],
      new Date(2),
      named,
      new Map([[1, 2]]),
    ]) {
      assert.deepEqual(decode(encode(one)), JSON.parse(JSON.stringify(one)));
    }
    const bytes = Buffer.from("abc");
    assert.deepEqual(decode(encode({bytes})), {bytes: Uint8Array.from(bytes)});
  });

  it("refuses half of a surrogate pair, as the gateway does in JSON, rather than write another character", () => {
    for (const bad of ["\ud83c", "a\udf89b", {"\udf89": 1}, ["\udf89\ud83c"]]) {
      assert.throws(() => encode(bad), {name: "RangeError", message: "a string has half of a surrogate pair"});
    }
    assert.equal(decode(encode("\ud83c\udf89")), "🎉");
  });

  it("makes members of all names", () => {
    const found = decode(bytes("81a95f5f70726f746f5f5f01"));
    assert.deepEqual(Object.entries(found), [["__proto__", 1]]);
    assert.equal(Object.getPrototypeOf(found), Object.prototype);
  });

  it("refuses what is cut off, goes on, or is not of JSON", () => {
    for (const bad of ["", "92", "9201", "a361", "cd01", "0101", "c1", "d40100", "a1ff", "dbffffffff61"]) {
      assert.throws(() => decode(bytes(bad)), bad);
    }
    assert.throws(() => encode(2n ** 64n), /more than 64 bits/);
    assert.throws(() => encode(-(2n ** 63n) - 1n), /more than 64 bits/);
  });

  it("reads any beginning of what it writes as nothing", () => {
    const whole = encode({a: [1, 300, 70000, -1, -200, 1.5, "text", null, true], b: {c: "é".repeat(40)}});
    for (let end = 0; end < whole.length; end++) assert.throws(() => decode(whole.subarray(0, end)));
  });
});
