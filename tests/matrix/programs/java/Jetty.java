import java.net.URI;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.concurrent.ExecutionException;
import org.eclipse.jetty.client.Request;
import org.eclipse.jetty.client.Response;
import org.eclipse.jetty.websocket.api.Callback;
import org.eclipse.jetty.websocket.api.Session;
import org.eclipse.jetty.websocket.client.ClientUpgradeRequest;
import org.eclipse.jetty.websocket.client.JettyUpgradeListener;
import org.eclipse.jetty.websocket.client.WebSocketClient;

/** Talks to Forestay with Jetty's client. */
public final class Jetty implements Session.Listener.AutoDemanding, JettyUpgradeListener {
    @Override
    public void onHandshakeResponse(Request request, Response answer) {
        if (answer.getStatus() == 101) return;
        String retryAfter = answer.getHeaders().get("Retry-After");
        Terminal.end("refused", answer.getStatus(), retryAfter); // the body is not read
    }

    @Override
    public void onWebSocketOpen(Session session) {
        Terminal.say("open");
    }

    @Override
    public void onWebSocketText(String message) {
        Terminal.text(message);
    }

    @Override
    public void onWebSocketBinary(ByteBuffer data, Callback done) {
        Terminal.binary(data);
        done.succeed();
    }

    @Override
    public void onWebSocketClose(int code, String reason, Callback done) {
        Terminal.end("closed", code, reason);
    }

    @Override
    public void onWebSocketError(Throwable error) {} // onWebSocketClose follows

    public static void main(String[] arguments) throws Exception {
        Terminal given = new Terminal(arguments);
        WebSocketClient client = new WebSocketClient();
        client.setIdleTimeout(Duration.ofMinutes(5)); // as shipped 30 s, in which a ping must come
        if (given.limit > 0) {
            client.setMaxTextMessageSize(given.limit); // as shipped 65,536
            client.setMaxBinaryMessageSize(given.limit);
        }
        client.start();
        ClientUpgradeRequest request = new ClientUpgradeRequest(URI.create(given.url));
        request.setSubProtocols(given.subprotocols);
        if (!given.token.isEmpty()) request.setHeader("Authorization", "Bearer " + given.token);
        Jetty listener = new Jetty();
        Session session;
        try {
            session = client.connect(listener, request, listener).get();
        } catch (ExecutionException failure) {
            Terminal.end("failed", failure.getCause());
            return;
        }
        Terminal.commands((word, rest) -> {
            switch (word) {
                case "text" -> session.sendText(rest, Callback.NOOP);
                case "binary" -> session.sendBinary(ByteBuffer.wrap(Terminal.bytes(rest)), Callback.NOOP);
                default -> session.close();
            }
        });
    }
}
