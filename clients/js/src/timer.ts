// A timer for one thing at a time.

/** @internal Does `work` in so many milliseconds, in place of what was to be done before; without it, nothing. */
export type Timer = (work?: () => void, ms?: number) => void;

/** @internal */
export const makeTimer = (): Timer => {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return (work, ms) => {
    clearTimeout(timer);
    timer = work && setTimeout(work, ms);
  };
};
