/**
 * The bytes of a value, which are those of what `JSON.stringify` writes: it asks `toJSON`, leaves out functions and what is
 * `undefined`, and has `null` for `NaN`. Byte strings are `Uint8Array`; integers beyond 2**53 are given as `bigint`, up to 64
 * bits. Throws for half of a surrogate pair, which the gateway refuses in JSON.
 */
export function encode(value: unknown): Uint8Array;

/** The value in some bytes, which have to be one value and nothing more. Integers beyond 2**53 are `bigint`. */
export function decode(from: ArrayBuffer | ArrayBufferView): unknown;
