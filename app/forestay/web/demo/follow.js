// Keeps a list scrolled to its end while it grows or the page changes, unless the user has scrolled back.

// Pixels from the end that still count as the end.
const NEAR = 48;

/** Follows `list`. `settle()` scrolls to the end if the list was there; `toEnd()` always. Both wait for a frame. */
export function follow(list) {
  let atEnd = true;
  let top = 0;
  let pending = false;

  function hold(end) {
    atEnd = end;
    // The browser's scroll anchoring helps readers. At the end it would look like the user scrolling back.
    list.style.overflowAnchor = end ? "none" : "auto";
  }

  // Once per frame for any number of entries, because reading a height makes the browser compute the layout.
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
      // A user at the former end has not scrolled back: entries were added since the last frame.
      hold(near || (atEnd && list.scrollTop > top - NEAR));
    },
    { passive: true },
  );
  // Only direct children: a row that the user opened to read must not jump.
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
