//! Talks to Forestay with tokio-websockets.

mod terminal;

use futures_util::{SinkExt, StreamExt};
use http::header::{HeaderValue, AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use terminal::{commands, given, hex, pause, Command};
use tokio_websockets::{ClientBuilder, CloseCode, Error, Limits, Message};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let given = given();
    let mut builder = ClientBuilder::new().uri(&given.url).expect("a URL");
    if !given.token.is_empty() {
        let value = HeaderValue::from_str(&format!("Bearer {}", given.token)).expect("a token");
        builder = builder.add_header(AUTHORIZATION, value).expect("a header");
    }
    let value = HeaderValue::from_str(&given.subprotocols).expect("subprotocols");
    builder = builder.add_header(SEC_WEBSOCKET_PROTOCOL, value).expect("a header");
    if given.limit > 0 {
        builder = builder.limits(Limits::default().max_payload_len(Some(given.limit)));
    }
    let mut socket = match builder.connect().await {
        Ok((socket, _)) => socket,
        Err(error) => {
            println!("failed {error}"); // the status is in its text only
            return;
        }
    };
    println!("open");
    let mut commands = commands();
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(message)) if message.is_text() => {
                    let text = message.as_text().unwrap_or_default();
                    println!("text {text}");
                    tokio::time::sleep(pause(text)).await;
                }
                Some(Ok(message)) if message.is_binary() => println!("binary {}", hex(message.as_payload())),
                Some(Ok(message)) => {
                    if let Some((code, reason)) = message.as_close() {
                        return println!("closed {} {reason}", u16::from(code));
                    }
                }
                Some(Err(Error::PayloadTooLong { len, .. })) => return println!("closed 1009 {len} bytes"),
                Some(Err(error)) => return println!("closed 1006 {error}"),
                None => return println!("closed 1006"),
            },
            Some(command) = commands.recv() => {
                let _ = match command {
                    Command::Text(text) => socket.send(Message::text(text)).await,
                    Command::Binary(data) => socket.send(Message::binary(data)).await,
                    Command::Close => socket.send(Message::close(Some(CloseCode::NORMAL_CLOSURE), "")).await,
                };
            }
        }
    }
}
