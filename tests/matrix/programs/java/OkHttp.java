import java.io.IOException;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;
import okhttp3.WebSocket;
import okhttp3.WebSocketListener;
import okio.ByteString;

/** Talks to Forestay with OkHttp. */
final class OkHttp extends WebSocketListener {
    private boolean opened;

    @Override
    public void onOpen(WebSocket socket, Response answer) {
        opened = true;
        Terminal.say("open");
    }

    @Override
    public void onMessage(WebSocket socket, String message) {
        Terminal.text(message);
    }

    @Override
    public void onMessage(WebSocket socket, ByteString data) {
        Terminal.binary(data.asByteBuffer());
    }

    @Override
    public void onClosing(WebSocket socket, int code, String reason) {
        socket.close(code, reason); // without it neither onClosed nor onFailure is called
    }

    @Override
    public void onClosed(WebSocket socket, int code, String reason) {
        Terminal.end("closed", code, reason);
    }

    @Override
    public void onFailure(WebSocket socket, Throwable error, Response answer) {
        if (opened) Terminal.end("closed", 1006, error);
        if (answer == null) Terminal.end("failed", error);
        String body = "";
        try {
            body = answer.body().string();
        } catch (IOException unreadable) {
            body = unreadable.toString();
        }
        Terminal.end("refused", answer.code(), answer.header("Retry-After", "-"), body);
    }

    public static void main(String[] arguments) throws Exception {
        Terminal given = new Terminal(arguments);
        Request.Builder request = new Request.Builder().url(given.url);
        if (!given.token.isEmpty()) request.header("Authorization", "Bearer " + given.token);
        request.header("Sec-WebSocket-Protocol", String.join(", ", given.subprotocols));
        WebSocket socket = new OkHttpClient().newWebSocket(request.build(), new OkHttp());
        Terminal.commands((word, rest) -> {
            switch (word) {
                case "text" -> socket.send(rest);
                case "binary" -> socket.send(ByteString.decodeHex(rest));
                default -> socket.close(1000, null);
            }
        });
    }
}
