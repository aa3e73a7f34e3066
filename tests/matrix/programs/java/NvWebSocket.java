import com.neovisionaries.ws.client.OpeningHandshakeException;
import com.neovisionaries.ws.client.WebSocket;
import com.neovisionaries.ws.client.WebSocketAdapter;
import com.neovisionaries.ws.client.WebSocketException;
import com.neovisionaries.ws.client.WebSocketFactory;
import com.neovisionaries.ws.client.WebSocketFrame;
import com.neovisionaries.ws.client.WebSocketState;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** Talks to Forestay with nv-websocket-client. */
final class NvWebSocket extends WebSocketAdapter {
    @Override
    public void onStateChanged(WebSocket socket, WebSocketState state) { // onConnected may follow the first message
        if (state == WebSocketState.OPEN) Terminal.say("open");
    }

    @Override
    public void onTextMessage(WebSocket socket, String message) {
        Terminal.text(message);
    }

    @Override
    public void onBinaryMessage(WebSocket socket, byte[] data) {
        Terminal.binary(ByteBuffer.wrap(data));
    }

    @Override
    public void onDisconnected(WebSocket socket, WebSocketFrame theirs, WebSocketFrame ours, boolean byServer) {
        WebSocketFrame close = byServer ? theirs : ours;
        if (close == null) Terminal.end("closed", 1006);
        Terminal.end("closed", close.getCloseCode(), close.getCloseReason() == null ? "" : close.getCloseReason());
    }

    public static void main(String[] arguments) throws Exception {
        Terminal given = new Terminal(arguments);
        WebSocket socket = new WebSocketFactory().createSocket(given.url).addListener(new NvWebSocket());
        given.subprotocols.forEach(socket::addProtocol);
        if (!given.token.isEmpty()) socket.addHeader("Authorization", "Bearer " + given.token);
        try {
            socket.connect();
        } catch (OpeningHandshakeException refusal) {
            List<String> retryAfter = refusal.getHeaders().get("Retry-After");
            byte[] body = refusal.getBody() == null ? new byte[0] : refusal.getBody();
            int status = refusal.getStatusLine().getStatusCode();
            String text = new String(body, StandardCharsets.UTF_8);
            Terminal.end("refused", status, retryAfter == null ? "-" : retryAfter.get(0), text);
        } catch (WebSocketException error) {
            Terminal.end("failed", error.getMessage());
        }
        Terminal.commands((word, rest) -> {
            switch (word) {
                case "text" -> socket.sendText(rest);
                case "binary" -> socket.sendBinary(Terminal.bytes(rest));
                default -> socket.sendClose(1000);
            }
        });
    }
}
