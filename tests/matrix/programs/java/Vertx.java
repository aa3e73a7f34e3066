import io.vertx.core.buffer.Buffer;
import io.vertx.core.http.UpgradeRejectedException;
import io.vertx.core.http.WebSocket;
import io.vertx.core.http.WebSocketClient;
import io.vertx.core.http.WebSocketClientOptions;
import io.vertx.core.http.WebSocketConnectOptions;
import java.nio.ByteBuffer;
import java.util.concurrent.CountDownLatch;

/** Talks to Forestay with Vert.x. */
final class Vertx {
    private static volatile WebSocket socket;

    static void opened(WebSocket open) {
        socket = open;
        Terminal.say("open");
        open.textMessageHandler(Terminal::text);
        open.binaryMessageHandler(data -> Terminal.binary(ByteBuffer.wrap(data.getBytes())));
        open.closeHandler(ended -> {
            Short code = open.closeStatusCode(); // null: the connection broke
            Terminal.end("closed", code == null ? 1006 : code, open.closeReason());
        });
    }

    static void failed(Throwable error) {
        if (error instanceof UpgradeRejectedException refusal) {
            String retryAfter = refusal.getHeaders().get("Retry-After");
            Terminal.end("refused", refusal.getStatus(), retryAfter, refusal.getBody());
        }
        Terminal.end("failed", error);
    }

    public static void main(String[] arguments) throws Exception {
        Terminal given = new Terminal(arguments);
        WebSocketClientOptions options = new WebSocketClientOptions();
        if (given.limit > 0) {
            options.setMaxFrameSize(given.limit); // as shipped 65,536
            options.setMaxMessageSize(given.limit);
        }
        WebSocketConnectOptions request = new WebSocketConnectOptions()
            .setAbsoluteURI(given.url)
            .setSubProtocols(given.subprotocols)
            .setAllowOriginHeader(false);
        if (!given.token.isEmpty()) request.addHeader("Authorization", "Bearer " + given.token);
        CountDownLatch connected = new CountDownLatch(1);
        WebSocketClient client = io.vertx.core.Vertx.vertx().createWebSocketClient(options);
        client.connect(request)
            .onSuccess(Vertx::opened)
            .onFailure(Vertx::failed)
            .onComplete(any -> connected.countDown());
        connected.await();
        Terminal.commands((word, rest) -> {
            switch (word) {
                case "text" -> socket.writeTextMessage(rest);
                case "binary" -> socket.writeBinaryMessage(Buffer.buffer(Terminal.bytes(rest)));
                default -> socket.close();
            }
        });
        client.close();
    }
}
