import java.net.URI;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import org.java_websocket.client.WebSocketClient;
import org.java_websocket.drafts.Draft_6455;
import org.java_websocket.handshake.ServerHandshake;
import org.java_websocket.protocols.IProtocol;
import org.java_websocket.protocols.Protocol;

/** Talks to Forestay with Java-WebSocket. */
final class JavaWebSocket extends WebSocketClient {
    private boolean opened;

    JavaWebSocket(URI url, Draft_6455 draft, Map<String, String> headers) {
        super(url, draft, headers);
    }

    @Override
    public void onOpen(ServerHandshake answer) {
        opened = true;
        Terminal.say("open");
    }

    @Override
    public void onMessage(String message) {
        Terminal.text(message);
    }

    @Override
    public void onMessage(ByteBuffer data) {
        Terminal.binary(data);
    }

    @Override
    public void onClose(int code, String reason, boolean remote) {
        if (opened) Terminal.end("closed", code, reason);
        Terminal.end("failed", reason); // such as "Invalid status code received: 401 Status line: …"
    }

    @Override
    public void onError(Exception error) {} // onClose follows

    public static void main(String[] arguments) throws Exception {
        Terminal given = new Terminal(arguments);
        List<IProtocol> protocols = given.subprotocols.stream().map(each -> (IProtocol) new Protocol(each)).toList();
        Map<String, String> headers = given.token.isEmpty() ? Map.of() : Map.of("Authorization", "Bearer " + given.token);
        JavaWebSocket socket = new JavaWebSocket(URI.create(given.url), new Draft_6455(List.of(), protocols), headers);
        socket.connect();
        Terminal.commands((word, rest) -> {
            switch (word) {
                case "text" -> socket.send(rest);
                case "binary" -> socket.send(Terminal.bytes(rest));
                default -> socket.close(1000);
            }
        });
    }
}
