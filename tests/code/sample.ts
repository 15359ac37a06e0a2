// The same with types.
import type { A } from './a';

interface Named { name: string; call?(x: number): void }
type Cond<T> = T extends string ? 'a' : T extends number ? 'b' : never;
enum Color { Red = 1, Green }

export abstract class Store<T extends object = {}> {
  private items: Map<string, T> = new Map();
  protected readonly limit = Math.random() > 0.5 ? 1 : 2;
  static shared?: Store<object>;
  declare later: number;
  constructor(private readonly name: string, public size: number = 3) {}
  abstract load(id: string): Promise<T>;
  get(id: string, fallback?: T): T | undefined {
    return this.items.get(id) ?? fallback;
  }
  set value(v) { this.size = v!; }
  find = (test: (x: T) => boolean): T[] => [...this.items.values()].filter((x) => test(x) && x);
  over(a: string): void;
  over(a: number): void;
  over(a: any, b = 1): void { if (a?.b?.()) { this.over(a as string); } else if (b) { return; } }
}

function assertIs(x: unknown): asserts x is string { if (typeof x !== 'string') throw new Error(); }
declare function ambient(x: number): string;
const typed = <T,>(x: T, ...rest: T[]): x is NonNullable<T> => !!x && rest.length > 0;
namespace Space { export function inside(x?: number) { return x || 0; } }
export const later = async function* ({ a = 1 }: { a?: number } = {}) { for (const x of [a]) yield x satisfies number; };
let optional = (x?: Named) => x?.call?.(1) ?? x!.name;
