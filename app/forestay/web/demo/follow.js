// Keeps a scrolled list at its end while it grows or the page changes, unless somebody has scrolled back to read.

// Pixels from the end that still count as being there.
const NEAR = 48;

/** Follow `list`. `settle()` goes to the end if it was there; `toEnd()` goes in any case. Both wait for the next frame. */
export function follow(list) {
  let atEnd = true;
  let top = 0;
  let pending = false;

  function hold(end) {
    atEnd = end;
    // The browser's own anchoring is for readers; at the end it would look like somebody scrolling back.
    list.style.overflowAnchor = end ? "none" : "auto";
  }

  // Once per frame, however much was added: asking for a height makes the browser lay everything out.
  function settle() {
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => {
      pending = false;
      if (!atEnd) return;
      list.scrollTop = list.scrollHeight;
      top = list.scrollTop;
    });
  }

  list.addEventListener(
    "scroll",
    () => {
      const near = list.scrollHeight - list.scrollTop - list.clientHeight < NEAR;
      // What was added since the last frame does not make a reader of somebody who stands where the end was.
      hold(near || (atEnd && list.scrollTop > top - NEAR));
    },
    { passive: true },
  );
  // Only its own children: a row that is opened to be read shall not jump.
  new MutationObserver(settle).observe(list, { childList: true });
  new ResizeObserver(settle).observe(list);
  hold(true);
  return {
    settle,
    toEnd() {
      hold(true);
      settle();
    },
  };
}
