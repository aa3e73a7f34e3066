import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Commands come as lines on standard input, and what happens goes out as lines on standard output. */
final class Terminal {
    final String url;
    final String token;
    final int limit;
    final List<String> subprotocols;

    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    Terminal(String[] arguments) {
        url = arguments[0];
        token = arguments[1];
        limit = Integer.parseInt(arguments[2]);
        subprotocols = List.of(Arrays.copyOfRange(arguments, 3, arguments.length));
    }

    /** Sends, and may fail. */
    interface Command {
        void send(String word, String rest) throws Exception;
    }

    static void say(Object... words) {
        OUT.println(Stream.of(words).map(String::valueOf).collect(Collectors.joining(" ")));
    }

    /** Says it, and ends the process. */
    static void end(Object... words) {
        say(words);
        Runtime.getRuntime().halt(0);
    }

    static void binary(ByteBuffer data) {
        byte[] bytes = new byte[data.remaining()];
        data.get(bytes);
        say("binary", HexFormat.of().formatHex(bytes));
    }

    /** Says it, and is busy for a while after some messages. */
    static void text(String message) {
        say("text", message);
        try {
            if (message.contains("\"pause\"")) Thread.sleep(3000);
        } catch (InterruptedException ended) {
            Thread.currentThread().interrupt();
        }
    }

    static byte[] bytes(String hex) {
        return HexFormat.of().parseHex(hex);
    }

    /** Calls with `text MESSAGE`, `binary HEX` and `close`, to the end of standard input. */
    static void commands(Command command) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ", 2);
            command.send(words[0], words.length > 1 ? words[1] : "");
        }
    }
}
