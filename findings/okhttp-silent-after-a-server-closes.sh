#!/usr/bin/env bash
# OkHttp calls nothing more after a server's close frame unless the listener closes too, and send() goes on to say true.
#
# Seen with OkHttp 5.5.1 on JDK 17: a server sends a close frame with 1001 and waits for the answer. `onClosing` is called.
# If it does not call `close()`, no answer is sent, and neither `onClosed` nor `onFailure` comes within 3 s, although the
# server waits no longer and ends TCP after one second. `send()` still returns true. With `close()` in `onClosing`,
# `onClosed` comes at once. So a listener that waits for `onClosed` or `onFailure` never reconnects.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >pom.xml <<'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>finding</groupId><artifactId>finding</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>com.squareup.okhttp3</groupId><artifactId>okhttp-jvm</artifactId><version>5.5.1</version>
    </dependency>
  </dependencies>
</project>
XML
mvn --batch-mode --quiet org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DoutputDirectory=jars

cat >Closing.java <<'JAVA'
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.security.MessageDigest;
import java.util.Base64;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;
import okhttp3.WebSocket;
import okhttp3.WebSocketListener;

class Closing {
    /** Accepts one WebSocket, sends a close frame with 1001, waits a second, and ends TCP. */
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
            socket.getOutputStream().write(new byte[] {(byte) 0x88, 2, 3, (byte) 0xe9});
            Thread.sleep(1000);
        } catch (Exception error) {
            System.out.println(error);
        }
    }

    static String heard(boolean closes) throws Exception {
        ServerSocket server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
        new Thread(() -> serve(server)).start();
        StringBuffer calls = new StringBuffer();
        Request request = new Request.Builder().url("ws://127.0.0.1:" + server.getLocalPort() + "/").build();
        WebSocket socket = new OkHttpClient().newWebSocket(request, new WebSocketListener() {
            @Override
            public void onClosing(WebSocket socket, int code, String reason) {
                calls.append(" onClosing ").append(code);
                if (closes) socket.close(code, null);
            }

            @Override
            public void onClosed(WebSocket socket, int code, String reason) {
                calls.append(" onClosed ").append(code);
            }

            @Override
            public void onFailure(WebSocket socket, Throwable error, Response answer) {
                calls.append(" onFailure");
            }
        });
        Thread.sleep(4000);
        return calls + ", send() says " + socket.send("x");
    }

    public static void main(String[] arguments) throws Exception {
        System.out.println("without close():" + heard(false));
        System.out.println("with close():" + heard(true));
        Runtime.getRuntime().halt(0);
    }
}
JAVA
javac -cp 'jars/*' Closing.java
seen=$(java -cp 'jars/*:.' Closing)
expected="without close(): onClosing 1001, send() says true
with close(): onClosing 1001 onClosed 1001, send() says false"
printf 'okhttp 5.5.1\n%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
