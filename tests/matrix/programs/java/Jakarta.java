import jakarta.websocket.ClientEndpointConfig;
import jakarta.websocket.CloseReason;
import jakarta.websocket.ContainerProvider;
import jakarta.websocket.DeploymentException;
import jakarta.websocket.Endpoint;
import jakarta.websocket.EndpointConfig;
import jakarta.websocket.Session;
import jakarta.websocket.WebSocketContainer;
import java.net.URI;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;

/** Talks to Forestay with Jakarta WebSocket, which Tomcat and Tyrus implement. */
final class Jakarta extends Endpoint {
    @Override
    public void onOpen(Session session, EndpointConfig config) {
        Terminal.say("open");
        session.addMessageHandler(String.class, Terminal::text);
        session.addMessageHandler(ByteBuffer.class, Terminal::binary);
    }

    @Override
    public void onClose(Session session, CloseReason end) {
        Terminal.end("closed", end.getCloseCode().getCode(), end.getReasonPhrase());
    }

    public static void main(String[] arguments) throws Exception {
        Terminal given = new Terminal(arguments);
        ClientEndpointConfig.Configurator headers = new ClientEndpointConfig.Configurator() {
            @Override
            public void beforeRequest(Map<String, List<String>> request) {
                if (!given.token.isEmpty()) request.put("Authorization", List.of("Bearer " + given.token));
                request.remove("Origin"); // of Tyrus
            }
        };
        ClientEndpointConfig config = ClientEndpointConfig.Builder.create()
            .preferredSubprotocols(given.subprotocols)
            .configurator(headers)
            .build();
        WebSocketContainer container = ContainerProvider.getWebSocketContainer();
        if (given.limit > 0) {
            container.setDefaultMaxTextMessageBufferSize(given.limit);
            container.setDefaultMaxBinaryMessageBufferSize(given.limit);
        }
        Session session;
        try {
            session = container.connectToServer(new Jakarta(), config, URI.create(given.url));
        } catch (DeploymentException refusal) {
            Throwable cause = refusal.getCause() == null ? refusal : refusal.getCause();
            Terminal.end("failed", cause.getMessage());
            return;
        }
        Terminal.commands((word, rest) -> {
            switch (word) {
                case "text" -> session.getBasicRemote().sendText(rest);
                case "binary" -> session.getBasicRemote().sendBinary(ByteBuffer.wrap(Terminal.bytes(rest)));
                default -> session.close();
            }
        });
    }
}
