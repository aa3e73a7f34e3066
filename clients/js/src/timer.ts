// A timer for one thing at a time.

/**
 * @internal Does `work` in so many milliseconds, in place of what was to be done before; without it, nothing. Says
 * whether there was something, which is so until the timer is used again.
 */
export type Timer = (work?: () => void, ms?: number) => boolean;

/** @internal */
export const makeTimer = (): Timer => {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return (work, ms) => {
    const wasSet = !!timer;
    clearTimeout(timer);
    timer = work && setTimeout(work, ms);
    return wasSet;
  };
};
