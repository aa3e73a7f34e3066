//! Talks to Forestay with soketto.

mod terminal;

use soketto::connection::{CloseReason, Error};
use soketto::handshake::client::Header;
use soketto::handshake::{Client, ServerResponse};
use soketto::{Data, Incoming};
use terminal::{commands, given, hex, pause, Command};
use tokio::net::TcpStream;
use tokio_util::compat::TokioAsyncReadCompatExt;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let given = given();
    let address = given.url.strip_prefix("ws://").expect("a URL");
    let (place, path) = address.split_at(address.find('/').expect("a path"));
    let stream = TcpStream::connect(place).await.expect("a connection");
    let bearer = format!("Bearer {}", given.token);
    let headers = [Header { name: "Authorization", value: bearer.as_bytes() }];
    let mut client = Client::new(stream.compat(), place, path);
    if !given.token.is_empty() {
        client.set_headers(&headers);
    }
    for each in given.subprotocols.split(", ") {
        client.add_protocol(each);
    }
    match client.handshake().await {
        Ok(ServerResponse::Accepted { .. }) => {}
        Ok(ServerResponse::Rejected { status_code }) => return println!("refused {status_code} -"),
        Ok(ServerResponse::Redirect { status_code, .. }) => return println!("refused {status_code} -"),
        Err(error) => return println!("failed {error}"),
    }
    println!("open");
    let mut builder = client.into_builder();
    if given.limit > 0 {
        builder.set_max_frame_size(given.limit);
        builder.set_max_message_size(given.limit);
    }
    let (mut sender, mut receiver) = builder.finish();
    tokio::spawn(async move {
        let mut commands = commands();
        while let Some(command) = commands.recv().await {
            let _ = match command {
                Command::Text(text) => sender.send_text(text).await,
                Command::Binary(data) => sender.send_binary(data).await,
                Command::Close => sender.close().await, // sends 1000
            };
            let _ = sender.flush().await; // else it stays in the buffer
        }
    });
    let mut message = Vec::new();
    loop {
        message.clear(); // receive() adds to it, and must not be dropped before it returns
        match receiver.receive(&mut message).await {
            Ok(Incoming::Data(Data::Text(_))) => {
                let text = String::from_utf8_lossy(&message);
                println!("text {text}");
                tokio::time::sleep(pause(&text)).await;
            }
            Ok(Incoming::Data(Data::Binary(_))) => println!("binary {}", hex(&message)),
            Ok(Incoming::Closed(CloseReason { code, descr })) => {
                return println!("closed {code} {}", descr.unwrap_or_default());
            }
            Ok(Incoming::Pong(_)) => {}
            Err(error @ Error::MessageTooLarge { .. }) => return println!("closed 1009 {error}"),
            Err(error) => return println!("closed 1006 {error}"),
        }
    }
}
