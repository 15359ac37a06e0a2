// What ESLint's `complexity` tells apart, construct by construct.
import { a as b } from './other.js';

/** Documented. */
export function decisions(x, y = 1, { z = 2, w: [v = 3] = [] } = {}) {
  if (x && y || z) return x ? y : z;
  else if (x ?? y) x ||= 1;
  x &&= 2;
  x ??= 3;
  for (let i = 0; i < 3; i++) continue;
  for (const k in x) break;
  for (const k of x) { while (k) { do { k(); } while (v); } }
  switch (x) {
    case 1:
    case 2: return 1;
    default: return x?.y?.[0]?.(1);
  }
}

const arrow = x => x ? 1 : 2;
const nested = async (x) => {
  try { await x(); } catch { return () => x || 1; } finally { x = null; }
  return function named(q) { return q && 1; };
};

class Shape {
  static #count = a ? 1 : 2;
  size = () => this.size || 0;
  [a ? 'x' : 'y'] = 1;
  plain;
  static { if (b) Shape.x = 1; }
  constructor(kind) { this.kind = kind ?? 'none'; }
  get area() { return this.size?.(); }
  set area(v) { this.v = v; }
  [b && 'm']() { return 1; }
  async *walk(items) { for await (const i of items) yield i; }
  static create = function () { return new Shape(); };
}

const object = {
  method(x) { return x || 0; },
  get value() { return a ? 1 : 0; },
  arrow: (x) => x && 1,
  ['computed']: function () { return 1; },
};

function* generator() { yield* [1].map((x) => x ? 1 : 2); }
label: for (;;) { if (a) break label; }
describe('things', () => { it('works', () => {}); test.each([1])('n %i', (n) => { n || 1; }); });
export default class extends Shape { go() { return a || b; } }
