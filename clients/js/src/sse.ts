// Reads an event stream: its data, its comments, and its end.

/** @internal What is in a stream, as it comes. */
export interface Events {
  _data(text: string): void;
  /** Bytes came, perhaps only a comment: the other side lives. */
  _alive(isComment: boolean): void;
  /** Milliseconds after which to come back. */
  _retry(ms: number): void;
}

/** @internal Resolves at the end of the stream. Rejects where it breaks. */
export const readEvents = async (body: ReadableStream<Uint8Array>, events: Events): Promise<void> => {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let data: string[] = [];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    events._alive(false);
    const lines = (rest + decoder.decode(value, { stream: true })).split(/\r?\n/);
    rest = lines.pop()!;
    for (const line of lines) {
      const [, field, text] = /^(\w*): ?(.*)$/s.exec(line) ?? [];
      if (field === "data") data.push(text!);
      else if (field === "retry") events._retry(Number(text));
      else if (field === "") events._alive(true);
      else if (!line && data[0] !== undefined) {
        const whole = data.join("\n");
        data = [];
        events._data(whole);
      }
    }
  }
};
