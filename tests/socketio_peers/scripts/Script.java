import io.socket.client.Ack;
import io.socket.client.IO;
import io.socket.client.Socket;
import java.lang.reflect.Field;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.BooleanSupplier;
import org.json.JSONArray;
import org.json.JSONObject;

/**
 * The script of script.mjs for the Java client, which Android uses too. It prints what it found as one line of JSON.
 * The client has no volatile emit and does not know recovery.
 */
public final class Script {
  private static final long PATIENCE = 8000;
  private static final long QUIET = 300;
  private static final HttpClient WEB = HttpClient.newHttpClient();

  private interface Step {
    JSONObject run(Script script) throws Exception;
  }

  private final JSONObject settings;
  private final List<Socket> sockets = new ArrayList<>();

  private Script(JSONObject settings) {
    this.settings = settings;
  }

  public static void main(String[] args) {
    JSONObject settings = new JSONObject(args[0]);
    List<String> wanted = settings.has("steps") ? strings(settings.getJSONArray("steps")) : null;
    JSONObject found = new JSONObject();
    steps().forEach((name, step) -> {
      if (wanted != null && !wanted.contains(name)) return;
      Script script = new Script(settings);
      try {
        found.put(name, step.run(script));
      } catch (Exception error) {
        found.put(name, new JSONObject().put("failed", String.valueOf(error)));
      }
      script.sockets.forEach(Socket::disconnect);
    });
    System.out.println(found);
    System.exit(0);
  }

  private static Map<String, Step> steps() {
    Map<String, Step> steps = new LinkedHashMap<>();
    steps.put("connect", Script::connect);
    steps.put("refused", Script::refused);
    steps.put("acks", Script::acks);
    steps.put("rooms", Script::rooms);
    steps.put("events", Script::events);
    steps.put("binary", Script::binary);
    steps.put("namespaces", Script::namespaces);
    steps.put("reconnect", Script::reconnect);
    steps.put("backend", Script::backend);
    steps.put("too large", Script::tooLarge);
    steps.put("disconnected by the server", Script::disconnectedByTheServer);
    steps.put("disconnected by the client", Script::disconnectedByTheClient);
    steps.put("a node stops", Script::aNodeStops);
    return steps;
  }

  /** The arguments of each event that came, in order. */
  private static final class Heard {
    final List<Object[]> all = new CopyOnWriteArrayList<>();

    Heard(Socket socket, String event) {
      socket.on(event, all::add);
    }

    Object[] first(long patience) throws InterruptedException {
      return until(() -> !all.isEmpty(), patience) ? all.get(0) : null;
    }

    Object[] first() throws InterruptedException {
      return first(PATIENCE);
    }

    List<Object> payloads() {
      List<Object> found = new ArrayList<>();
      for (Object[] args : all) found.add(((JSONObject) args[0]).opt("payload"));
      return found;
    }
  }

  private static List<String> strings(JSONArray array) {
    List<String> found = new ArrayList<>();
    for (int at = 0; at < array.length(); at++) found.add(array.getString(at));
    return found;
  }

  private static boolean until(BooleanSupplier met, long patience) throws InterruptedException {
    long end = System.currentTimeMillis() + patience;
    while (!met.getAsBoolean() && System.currentTimeMillis() < end) Thread.sleep(10);
    return met.getAsBoolean();
  }

  private String control(String path, String... query) throws Exception {
    StringBuilder url = new StringBuilder(settings.getString("control")).append('/').append(path).append('?');
    for (int at = 0; at < query.length; at += 2)
      url.append(query[at]).append('=').append(URLEncoder.encode(query[at + 1], StandardCharsets.UTF_8)).append('&');
    HttpRequest request = HttpRequest.newBuilder(URI.create(url.toString())).build();
    HttpResponse<String> answer = WEB.send(request, HttpResponse.BodyHandlers.ofString());
    if (answer.statusCode() != 200) throw new IllegalStateException(path + ": " + answer.statusCode());
    return answer.body();
  }

  private Socket open(String side, String user, String kind, String namespace) throws Exception {
    IO.Options options = new IO.Options();
    options.forceNew = true;
    options.reconnectionDelay = 100;
    options.reconnectionDelayMax = 300;
    options.transports = strings(settings.getJSONArray("transports")).toArray(new String[0]);
    if (!kind.equals("none")) options.auth = Map.of("token", control("token", "user", user, "kind", kind));
    Socket socket = IO.socket(URI.create(settings.getString(side) + namespace), options);
    sockets.add(socket);
    return socket;
  }

  private Socket connect(String side, String user) throws Exception {
    return connect(side, user, "/");
  }

  private Socket connect(String side, String user, String namespace) throws Exception {
    Socket socket = open(side, user, "good", namespace);
    socket.connect();
    if (!until(socket::connected, PATIENCE)) throw new IllegalStateException(user + " does not connect");
    return socket;
  }

  private static JSONObject ask(Socket socket, String event, Object... args) throws Exception {
    return ask(PATIENCE, socket, event, args);
  }

  private static JSONObject ask(long patience, Socket socket, String event, Object... args) throws Exception {
    CompletableFuture<JSONObject> answer = new CompletableFuture<>();
    Ack ack = said -> answer.complete((JSONObject) said[0]);
    socket.emit(event, args, ack);
    return answer.get(patience, TimeUnit.MILLISECONDS);
  }

  private static void join(Socket socket, String room) throws Exception {
    JSONObject answer = ask(socket, "join-room", room);
    if (!answer.getBoolean("ok")) throw new IllegalStateException("cannot join " + room + ": " + answer);
  }

  private static JSONObject say(Socket socket, String room, Object payload) throws Exception {
    return ask(socket, "message", new JSONObject().put("room", room).put("payload", payload));
  }

  private static Object member(Object object, String name) throws ReflectiveOperationException {
    Field field = null;
    for (Class<?> of = object.getClass(); field == null; of = of.getSuperclass())
      for (Field one : of.getDeclaredFields()) if (one.getName().equals(name)) field = one;
    field.setAccessible(true);
    return field.get(object);
  }

  /** The client does not tell its transport, so that it is read where it lies. */
  private static String transport(Socket socket) {
    try {
      return (String) member(member(member(socket.io(), "engine"), "transport"), "name");
    } catch (ReflectiveOperationException | NullPointerException none) {
      return null;
    }
  }

  private void settle(Socket socket) throws InterruptedException {
    List<String> transports = strings(settings.getJSONArray("transports"));
    until(() -> transports.get(transports.size() - 1).equals(transport(socket)), 3000);
  }

  private static String hex(Object bytes) {
    return HexFormat.of().formatHex((byte[]) bytes);
  }

  private JSONObject connect() throws Exception {
    Socket socket = connect("a", "alice");
    settle(socket);
    String engine = (String) member(member(socket.io(), "engine"), "id");
    return new JSONObject().put("transport", transport(socket)).put("its id is the engine's", socket.id().equals(engine));
  }

  private JSONObject refused() throws Exception {
    JSONObject found = new JSONObject();
    for (String name : List.of("none", "bad", "expired", "namespace")) {
      boolean nowhere = name.equals("namespace");
      Socket socket = open("a", "alice", nowhere ? "good" : name, nowhere ? "/nowhere" : "/");
      Heard errors = new Heard(socket, Socket.EVENT_CONNECT_ERROR);
      socket.connect();
      Object[] args = errors.first();
      JSONObject said = args != null && args[0] instanceof JSONObject error ? error : new JSONObject();
      JSONObject seen = new JSONObject().put("message", said.opt("message")).put("tries again", socket.isActive());
      if (!nowhere && said.has("data")) seen.put("code", said.getJSONObject("data").opt("code"));
      found.put(name, seen);
    }
    return found;
  }

  private JSONObject acks() throws Exception {
    Socket alice = connect("a", "alice");
    Socket carol = connect("b", "carol");
    return new JSONObject()
        .put("join", ask(alice, "join-room", "acks").get("ok"))
        .put("join as an object", ask(alice, "join-room", new JSONObject().put("room", "acks.2")).get("ok"))
        .put("message", say(alice, "acks", 1).get("ok"))
        .put("leave", ask(alice, "leave-room", "acks").get("ok"))
        .put("no name", ask(alice, "join-room", "").get("code"))
        .put("no right to join", ask(carol, "join-room", "acks").get("code"))
        .put("right to read", ask(carol, "join-room", "news").get("ok"))
        .put("no right to write", say(carol, "news", 1).get("code"));
  }

  private JSONObject rooms() throws Exception {
    Socket alice = connect("a", "alice");
    Socket bob = connect("b", "bob");
    Socket carol = connect("b", "carol");
    join(alice, "rooms");
    join(bob, "rooms");
    Heard own = new Heard(alice, "message");
    Heard others = new Heard(bob, "message");
    Heard outside = new Heard(carol, "message");
    for (int number = 0; number < 20; number++) {
      JSONObject payload = new JSONObject().put("number", number);
      alice.emit("message", new JSONObject().put("room", "rooms").put("payload", payload));
    }
    until(() -> own.all.size() == 20 && others.all.size() == 20, PATIENCE);
    JSONObject first = (JSONObject) others.all.get(0)[0];
    boolean ordered = true;
    for (int at = 0; at < 20; at++)
      ordered &= ((JSONObject) others.payloads().get(at)).getInt("number") == at;
    ask(bob, "leave-room", "rooms");
    say(alice, "rooms", "after");
    join(bob, "Küche 7/unten");
    Heard odd = new Heard(bob, "message");
    say(alice, "Küche 7/unten", "odd");
    Object[] oddly = odd.first();
    Thread.sleep(QUIET);
    return new JSONObject()
        .put("first", new JSONObject(first, new String[] {"from", "room", "payload"}))
        .put("in order", ordered)
        .put("the sender hears", own.payloads().stream().filter(one -> !"after".equals(one)).count())
        .put("another name", oddly == null ? null : new JSONObject((JSONObject) oddly[0], new String[] {"room", "payload"}))
        .put("after leaving", others.payloads().contains("after"))
        .put("outside hears", outside.all.size());
  }

  private JSONObject events() throws Exception {
    Socket alice = connect("a", "alice");
    Socket bob = connect("b", "bob");
    join(bob, "chat.7");
    Heard heard = new Heard(bob, "chat message");
    JSONArray numbers = new JSONArray().put(1).put(2.5);
    JSONObject ack =
        ask(alice, "chat message", 7, "zoë 😀", JSONObject.NULL, new JSONObject().put("a", numbers), true);
    Object answer = "no answer";
    try {
      answer = ask(1000, alice, "no rule", 1).get("code");
    } catch (TimeoutException none) {
      // Nothing takes the event.
    }
    Object[] args = heard.first();
    return new JSONObject()
        .put("args", args == null ? null : new JSONArray(args))
        .put("ack", ack.get("ok"))
        .put("without a rule", answer);
  }

  private JSONObject binary() throws Exception {
    Socket alice = connect("a", "alice");
    Socket bob = connect("b", "bob");
    join(bob, "binary");
    join(bob, "chat.8");
    byte[] bytes = {0, 1, 127, (byte) 128, (byte) 255};
    JSONObject found = new JSONObject();
    for (String name : List.of("payload", "empty payload")) {
      Heard heard = new Heard(bob, "message");
      JSONObject ack = say(alice, "binary", name.equals("payload") ? bytes : new byte[0]);
      Object[] args = heard.first();
      String said = args == null ? null : hex(((JSONObject) args[0]).get("payload"));
      found.put(name, new JSONObject().put("ack", ack.get("ok")).put("heard", said));
    }
    Heard nested = new Heard(bob, "message");
    JSONArray parts = new JSONArray().put(bytes).put(new JSONObject().put("deep", new byte[] {9}));
    say(alice, "binary", new JSONObject().put("name", "a.bin").put("parts", parts));
    Object[] args = nested.first();
    if (args != null) {
      JSONObject payload = ((JSONObject) args[0]).getJSONObject("payload");
      JSONArray came = payload.getJSONArray("parts");
      String deep = hex(came.getJSONObject(1).get("deep"));
      found.put("nested", new JSONArray().put(payload.get("name")).put(hex(came.get(0))).put(deep));
    }
    Heard chat = new Heard(bob, "chat message");
    JSONObject ack = ask(alice, "chat message", 8, bytes, new JSONObject().put("file", new byte[] {7, 8}));
    args = chat.first();
    if (args != null) {
      String file = hex(((JSONObject) args[2]).get("file"));
      JSONArray came = new JSONArray().put(args[0]).put(hex(args[1])).put(file);
      found.put("event", new JSONObject().put("ack", ack.get("ok")).put("args", came));
    }
    return found;
  }

  private JSONObject namespaces() throws Exception {
    Socket alice = connect("a", "alice");
    IO.Options options = new IO.Options();
    options.auth = Map.of("token", control("token", "user", "alice", "kind", "good"));
    Socket admin = alice.io().socket("/admin", options);
    admin.connect();
    if (!until(admin::connected, PATIENCE)) throw new IllegalStateException("/admin does not connect");
    Socket bob = connect("b", "bob");
    Socket boss = connect("b", "bob", "/admin");
    join(alice, "same");
    join(admin, "same");
    Heard main = new Heard(alice, "message");
    Heard apart = new Heard(admin, "message");
    say(bob, "same", "main");
    say(boss, "same", "admin");
    until(() -> !main.all.isEmpty() && !apart.all.isEmpty(), PATIENCE);
    Thread.sleep(QUIET);
    boolean ids = !alice.id().equals(admin.id());
    admin.disconnect();
    say(bob, "same", "still");
    until(() -> main.payloads().contains("still"), PATIENCE);
    return new JSONObject()
        .put("ids differ", ids)
        .put("main", main.payloads())
        .put("admin", apart.payloads())
        .put("the other stays", alice.connected());
  }

  private JSONObject reconnect() throws Exception {
    Socket alice = connect("a", "alice");
    Socket bob = connect("b", "bob");
    join(alice, "live");
    Heard heard = new Heard(alice, "message");
    Heard gone = new Heard(alice, Socket.EVENT_DISCONNECT);
    Heard back = new Heard(alice, Socket.EVENT_CONNECT);
    String before = alice.id();
    control("cut", "side", "a", "to", "1");
    Object[] left = gone.first();
    boolean returned = back.first() != null;
    say(bob, "live", "later");
    Thread.sleep(QUIET);
    boolean kept = heard.all.size() == 1;
    if (!kept) join(alice, "live");
    say(bob, "live", "joined again");
    boolean again = until(() -> heard.payloads().contains("joined again"), PATIENCE);
    return new JSONObject()
        .put("reason", left == null ? null : left[0])
        .put("returned", returned)
        .put("same id", before.equals(alice.id()))
        .put("rooms kept", kept)
        .put("again", again);
  }

  private JSONObject backend() throws Exception {
    Socket bob = connect("b", "bob");
    join(bob, "backend");
    Heard heard = new Heard(bob, "price");
    control("emit", "room", "backend", "event", "price", "args", "[\"ACME\", {\"bid\": 1.5}]");
    Object[] args = heard.first();
    return new JSONObject().put("args", args == null ? null : new JSONArray(args));
  }

  private JSONObject tooLarge() throws Exception {
    Socket alice = connect("a", "alice");
    settle(alice);
    Heard gone = new Heard(alice, Socket.EVENT_DISCONNECT);
    Heard back = new Heard(alice, Socket.EVENT_CONNECT);
    alice.emit("message", new JSONObject().put("room", "large").put("payload", "x".repeat(100_000)));
    Object[] left = gone.first();
    // Either reason, as the answer or the reset comes first.
    boolean ends = left != null && (left[0].equals("transport close") || left[0].equals("transport error"));
    return new JSONObject().put("transport ends", ends).put("returned", back.first() != null);
  }

  private JSONObject disconnectedByTheServer() throws Exception {
    Socket dave = connect("a", "dave");
    Heard gone = new Heard(dave, Socket.EVENT_DISCONNECT);
    Heard back = new Heard(dave, Socket.EVENT_CONNECT);
    control("disconnect", "user", "dave");
    Object[] left = gone.first();
    return new JSONObject()
        .put("reason", left == null ? null : left[0])
        .put("returned", back.first(1500) != null)
        .put("tries again", dave.isActive());
  }

  private JSONObject disconnectedByTheClient() throws Exception {
    Socket alice = connect("a", "alice");
    Heard gone = new Heard(alice, Socket.EVENT_DISCONNECT);
    Heard back = new Heard(alice, Socket.EVENT_CONNECT);
    alice.disconnect();
    Object[] left = gone.first();
    alice.connect();
    return new JSONObject()
        .put("reason", left == null ? null : left[0])
        .put("connect() returns", back.first() != null);
  }

  private JSONObject aNodeStops() throws Exception {
    Socket alice = connect("a", "alice");
    Socket bob = connect("b", "bob");
    settle(alice);
    Heard gone = new Heard(alice, Socket.EVENT_DISCONNECT);
    Heard back = new Heard(alice, Socket.EVENT_CONNECT);
    control("stop", "side", "a", "to", "2");
    Object[] left = gone.first();
    long since = System.currentTimeMillis();
    boolean returned = back.first() != null;
    return new JSONObject()
        .put("reason", left == null ? null : left[0])
        .put("returned", returned)
        .put("within 3 s", returned && System.currentTimeMillis() - since < 3000)
        .put("the other node's client stays", bob.connected());
  }
}
