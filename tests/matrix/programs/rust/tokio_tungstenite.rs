//! Talks to Forestay with tokio-tungstenite.

mod terminal;

use futures_util::{SinkExt, StreamExt};
use terminal::{commands, given, hex, pause, Command};
use tokio_tungstenite::connect_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let given = given();
    let mut request = given.url.into_client_request().expect("a URL");
    let headers = request.headers_mut();
    if !given.token.is_empty() {
        headers.insert("Authorization", format!("Bearer {}", given.token).parse().expect("a token"));
    }
    headers.insert("Sec-WebSocket-Protocol", given.subprotocols.parse().expect("subprotocols"));
    let mut config = WebSocketConfig::default();
    if given.limit > 0 {
        config = config.max_message_size(Some(given.limit)).max_frame_size(Some(given.limit));
    }
    let mut socket = match connect_async_with_config(request, Some(config), false).await {
        Ok((socket, _)) => socket,
        Err(Error::Http(answer)) => {
            let retry_after = answer.headers().get("Retry-After").and_then(|value| value.to_str().ok()).unwrap_or("-");
            let body = String::from_utf8_lossy(answer.body().as_deref().unwrap_or_default());
            println!("refused {} {retry_after} {body}", answer.status().as_u16());
            return;
        }
        Err(error) => {
            println!("failed {error}");
            return;
        }
    };
    println!("open");
    let mut commands = commands();
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    println!("text {text}");
                    tokio::time::sleep(pause(&text)).await;
                }
                Some(Ok(Message::Binary(data))) => println!("binary {}", hex(&data)),
                Some(Ok(Message::Close(end))) => {
                    let _ = socket.close(None).await; // sends the answer
                    match end {
                        Some(CloseFrame { code, reason }) => println!("closed {} {reason}", u16::from(code)),
                        None => println!("closed 1005"),
                    }
                    return;
                }
                Some(Ok(_)) => {} // pings are answered with what is read or written next
                Some(Err(error)) => return println!("closed 1006 {error}"),
                None => return println!("closed 1006"),
            },
            Some(command) = commands.recv() => {
                let _ = match command {
                    Command::Text(text) => socket.send(Message::text(text)).await,
                    Command::Binary(data) => socket.send(Message::binary(data)).await,
                    Command::Close => {
                        socket.close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() })).await
                    }
                };
            }
        }
    }
}
