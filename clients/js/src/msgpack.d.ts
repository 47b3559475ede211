/**
 * The bytes of a value. As with `JSON.stringify`, members that are `undefined` are left out and `toJSON` is asked.
 * Byte strings are `Uint8Array`; integers beyond 2**53 are given as `bigint`, up to 64 bits.
 */
export function encode(value: unknown): Uint8Array;

/** The value in some bytes, which have to be one value and nothing more. Integers beyond 2**53 are `bigint`. */
export function decode(from: ArrayBuffer | ArrayBufferView): unknown;
