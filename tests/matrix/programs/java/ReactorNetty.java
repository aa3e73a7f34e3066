import io.netty.buffer.Unpooled;
import io.netty.handler.codec.http.websocketx.BinaryWebSocketFrame;
import io.netty.handler.codec.http.websocketx.CloseWebSocketFrame;
import io.netty.handler.codec.http.websocketx.TextWebSocketFrame;
import io.netty.handler.codec.http.websocketx.WebSocketClientHandshakeException;
import io.netty.handler.codec.http.websocketx.WebSocketCloseStatus;
import io.netty.handler.codec.http.websocketx.WebSocketFrame;
import org.reactivestreams.Publisher;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;
import reactor.netty.http.client.HttpClient;
import reactor.netty.http.client.WebsocketClientSpec;
import reactor.netty.http.websocket.WebsocketInbound;
import reactor.netty.http.websocket.WebsocketOutbound;

/** Talks to Forestay with Reactor Netty. */
final class ReactorNetty {
    private static final Sinks.Many<WebSocketFrame> SENT = Sinks.many().unicast().onBackpressureBuffer();

    static Publisher<Void> talk(WebsocketInbound in, WebsocketOutbound out) {
        Terminal.say("open");
        in.receiveCloseStatus().defaultIfEmpty(WebSocketCloseStatus.ABNORMAL_CLOSURE).subscribe(end -> {
            Terminal.end("closed", end.code(), end.reasonText());
        });
        Mono<Void> heard = in.receiveFrames().doOnNext(ReactorNetty::heard).then();
        return out.sendObject(SENT.asFlux()).then().and(heard);
    }

    static void heard(WebSocketFrame frame) {
        if (frame instanceof TextWebSocketFrame text) Terminal.text(text.text());
        if (frame instanceof BinaryWebSocketFrame data) Terminal.binary(data.content().nioBuffer());
    }

    static void failed(Throwable error) {
        if (error instanceof WebSocketClientHandshakeException refusal && refusal.response() != null) {
            String retryAfter = refusal.response().headers().get("Retry-After");
            Terminal.end("refused", refusal.response().status().code(), retryAfter); // the body is not kept
        }
        Terminal.end("failed", error);
    }

    public static void main(String[] arguments) throws Exception {
        Terminal given = new Terminal(arguments);
        WebsocketClientSpec.Builder spec = WebsocketClientSpec.builder().protocols(String.join(",", given.subprotocols));
        if (given.limit > 0) spec.maxFramePayloadLength(given.limit); // as shipped 65,536
        HttpClient.create()
            .headers(headers -> {
                if (!given.token.isEmpty()) headers.set("Authorization", "Bearer " + given.token);
            })
            .websocket(spec.build())
            .uri(given.url)
            .handle(ReactorNetty::talk)
            .subscribe(any -> {}, ReactorNetty::failed);
        Terminal.commands((word, rest) -> {
            SENT.tryEmitNext(
                switch (word) {
                    case "text" -> new TextWebSocketFrame(rest);
                    case "binary" -> new BinaryWebSocketFrame(Unpooled.wrappedBuffer(Terminal.bytes(rest)));
                    default -> new CloseWebSocketFrame(1000, "");
                }
            );
        });
    }
}
