// Keeps a scrolled list at its end while it grows or the page changes, unless somebody has scrolled back to read.

// Pixels from the end that still count as being there.
const NEAR = 48;

/** Follow `list`. `settle()` goes to the end if it was there; `toEnd()` goes in any case. */
export function follow(list) {
  let atEnd = true;
  const settle = () => {
    if (atEnd) list.scrollTop = list.scrollHeight;
  };
  list.addEventListener(
    "scroll",
    () => {
      atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < NEAR;
    },
    { passive: true },
  );
  // Only its own children: a row that is opened to be read shall not jump.
  new MutationObserver(settle).observe(list, { childList: true });
  new ResizeObserver(settle).observe(list);
  return {
    settle,
    toEnd() {
      atEnd = true;
      settle();
    },
  };
}
