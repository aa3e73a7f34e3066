#!/usr/bin/env bash
# The WebSocket of the JDK's HttpClient calls a listener that forgets request(1) once: it hears not even the close.
#
# Seen with JDK 17.0.15: a server sends two texts and a close frame with 1001, and ends TCP a second later. A listener whose
# `onText` returns null without `request(1)` gets the first text, and within 3 s neither the second one, nor `onClose`, nor
# `onError`. The default methods of the interface call request(1), so the fault begins with the first method that is
# overridden. With the call it gets both texts and the close.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >Listening.java <<'JAVA'
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.concurrent.CompletionStage;

class Listening {
    /** Accepts one WebSocket, sends "a", "b" and a close frame with 1001, waits a second, and ends TCP. */
    static void serve(ServerSocket server) {
        try (Socket socket = server.accept()) {
            BufferedReader head = new BufferedReader(new InputStreamReader(socket.getInputStream()));
            String key = "";
            for (String line = head.readLine(); !line.isEmpty(); line = head.readLine())
                if (line.toLowerCase().startsWith("sec-websocket-key: ")) key = line.substring(19);
            byte[] proof = MessageDigest.getInstance("SHA-1").digest((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").getBytes());
            String answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + "Sec-WebSocket-Accept: " + Base64.getEncoder().encodeToString(proof) + "\r\n\r\n";
            socket.getOutputStream().write(answer.getBytes());
            socket.getOutputStream().write(new byte[] {(byte) 0x81, 1, 'a', (byte) 0x81, 1, 'b', (byte) 0x88, 2, 3, (byte) 0xe9});
            Thread.sleep(1000);
        } catch (Exception error) {
            System.out.println(error);
        }
    }

    static String heard(boolean requests) throws Exception {
        ServerSocket server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
        new Thread(() -> serve(server)).start();
        StringBuffer calls = new StringBuffer();
        URI url = URI.create("ws://127.0.0.1:" + server.getLocalPort() + "/");
        HttpClient.newHttpClient().newWebSocketBuilder().buildAsync(url, new WebSocket.Listener() {
            @Override
            public CompletionStage<?> onText(WebSocket socket, CharSequence text, boolean last) {
                calls.append(" onText ").append(text);
                if (requests) socket.request(1);
                return null;
            }

            @Override
            public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
                calls.append(" onClose ").append(code);
                return null;
            }

            @Override
            public void onError(WebSocket socket, Throwable error) {
                calls.append(" onError");
            }
        }).join();
        Thread.sleep(4000);
        return calls.toString();
    }

    public static void main(String[] arguments) throws Exception {
        System.out.println("without request(1):" + heard(false));
        System.out.println("with request(1):" + heard(true));
        Runtime.getRuntime().halt(0);
    }
}
JAVA
javac Listening.java
seen=$(java -cp . Listening)
expected="without request(1): onText a
with request(1): onText a onText b onClose 1001"
printf 'JDK %s\n%s\n' "$(java -XshowSettings:properties -version 2>&1 | sed -n 's/.*java.version = //p')" "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
