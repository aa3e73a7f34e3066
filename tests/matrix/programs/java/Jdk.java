import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpResponse;
import java.net.http.WebSocket;
import java.net.http.WebSocketHandshakeException;
import java.nio.ByteBuffer;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;

/** Talks to Forestay with the HttpClient of the JDK. */
final class Jdk implements WebSocket.Listener {
    private final StringBuilder parts = new StringBuilder();
    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

    @Override
    public void onOpen(WebSocket socket) {
        Terminal.say("open"); // messages may come before buildAsync() is done
        socket.request(1);
    }

    @Override
    public CompletionStage<?> onText(WebSocket socket, CharSequence part, boolean last) {
        parts.append(part); // a large message comes in parts of 16,384
        if (last) {
            Terminal.text(parts.toString());
            parts.setLength(0);
        }
        socket.request(1); // without it nothing comes any more, not even the close
        return null;
    }

    @Override
    public CompletionStage<?> onBinary(WebSocket socket, ByteBuffer part, boolean last) {
        byte[] data = new byte[part.remaining()];
        part.get(data);
        bytes.writeBytes(data);
        if (last) {
            Terminal.binary(ByteBuffer.wrap(bytes.toByteArray()));
            bytes.reset();
        }
        socket.request(1);
        return null;
    }

    @Override
    public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
        Terminal.end("closed", code, reason);
        return null;
    }

    @Override
    public void onError(WebSocket socket, Throwable error) {
        Terminal.end("closed", 1006, error);
    }

    public static void main(String[] arguments) throws Exception {
        Terminal given = new Terminal(arguments);
        WebSocket.Builder builder = HttpClient.newHttpClient().newWebSocketBuilder();
        if (!given.token.isEmpty()) builder.header("Authorization", "Bearer " + given.token);
        String[] others = given.subprotocols.stream().skip(1).toArray(String[]::new);
        builder.subprotocols(given.subprotocols.get(0), others);
        WebSocket socket;
        try {
            socket = builder.buildAsync(URI.create(given.url), new Jdk()).join();
        } catch (CompletionException failure) {
            if (failure.getCause() instanceof WebSocketHandshakeException refusal) {
                HttpResponse<?> answer = refusal.getResponse(); // its body is always empty
                String retryAfter = answer.headers().firstValue("Retry-After").orElse("-");
                Terminal.end("refused", answer.statusCode(), retryAfter);
            }
            Terminal.end("failed", failure.getCause());
            return;
        }
        Terminal.commands((word, rest) -> {
            switch (word) {
                case "text" -> socket.sendText(rest, true).join();
                case "binary" -> socket.sendBinary(ByteBuffer.wrap(Terminal.bytes(rest)), true).join();
                default -> socket.sendClose(WebSocket.NORMAL_CLOSURE, "").join();
            }
        });
    }
}
