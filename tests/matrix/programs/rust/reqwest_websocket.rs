//! Talks to Forestay with reqwest-websocket.

mod terminal;

use futures_util::{SinkExt, StreamExt};
use reqwest::{Client, StatusCode};
use reqwest_websocket::{CloseCode, Message, Upgrade};
use terminal::{commands, given, hex, pause, Command};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let given = given();
    let mut request = Client::builder().http1_only().build().expect("a client").get(given.url);
    if !given.token.is_empty() {
        request = request.bearer_auth(given.token);
    }
    let answer = match request.upgrade().protocols(given.subprotocols.split(", ")).send().await {
        Ok(answer) => answer,
        Err(error) => return println!("failed {error}"),
    };
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let answer = answer.into_inner();
        let retry_after = answer.headers().get("Retry-After").and_then(|value| value.to_str().ok()).unwrap_or("-");
        let head = format!("{} {retry_after}", answer.status().as_u16());
        return println!("refused {head} {}", answer.text().await.unwrap_or_default());
    }
    let mut socket = match answer.into_websocket().await {
        Ok(socket) => socket,
        Err(error) => return println!("failed {error}"),
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
                Some(Ok(Message::Close { code, reason })) => {
                    let _ = SinkExt::close(&mut socket).await; // sends the answer
                    return println!("closed {code} {reason}");
                }
                Some(Ok(_)) => {} // pings are answered with what is read or written next
                Some(Err(error)) => return println!("closed 1006 {error}"),
                None => return println!("closed 1006"),
            },
            Some(command) = commands.recv() => {
                let _ = match command {
                    Command::Text(text) => socket.send(Message::Text(text)).await,
                    Command::Binary(data) => socket.send(Message::Binary(data.into())).await,
                    Command::Close => {
                        socket.send(Message::Close { code: CloseCode::Normal, reason: String::new() }).await
                    }
                };
            }
        }
    }
}
