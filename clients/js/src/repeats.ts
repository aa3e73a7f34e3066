// What two streams say in the same words is one message: for rooms whose messages have no positions.

/** Messages that are remembered. */
const MOST = 1_000;

/** @internal */
export interface Repeats {
  /** Whether another stream than `from` has told this. If not, it is remembered where there are two. */
  _has(from: object, text: string, areTwo: boolean): boolean;
  _clear(): void;
}

/** @internal */
export const makeRepeats = (): Repeats => {
  /** Who told it, and how often more than the other. */
  const told = new Map<string, { _first: object; _times: number }>();
  return {
    _has(from, text, areTwo) {
      const { _first, _times } = told.get(text) ?? { _first: from, _times: 0 };
      const isRepeat = _first !== from;
      const left = _times + (isRepeat ? -1 : 1);
      told.delete(text);
      if (left && told.size < MOST && (isRepeat || areTwo)) told.set(text, { _first, _times: left });
      return isRepeat;
    },
    _clear: () => told.clear(),
  };
};
