//! Talks to Forestay with fastwebsockets, on hyper.

mod terminal;

use std::future::Future;

use bytes::Bytes;
use fastwebsockets::{handshake, FragmentCollector, Frame, OpCode, Payload, WebSocketError};
use http_body_util::Empty;
use hyper::header::{CONNECTION, UPGRADE};
use hyper::{Request, Uri};
use terminal::{commands, given, hex, pause, Command};
use tokio::net::TcpStream;

struct Executor;

impl<Task> hyper::rt::Executor<Task> for Executor
where
    Task: Future + Send + 'static,
    Task::Output: Send + 'static,
{
    fn execute(&self, task: Task) {
        tokio::task::spawn(task);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let given = given();
    let url: Uri = given.url.parse().expect("a URL");
    let place = url.authority().expect("a host").as_str();
    let mut request = Request::builder()
        .uri(url.path_and_query().expect("a path").as_str())
        .header("Host", place)
        .header(UPGRADE, "websocket")
        .header(CONNECTION, "upgrade")
        .header("Sec-WebSocket-Key", handshake::generate_key())
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Protocol", given.subprotocols);
    if !given.token.is_empty() {
        request = request.header("Authorization", format!("Bearer {}", given.token));
    }
    let request = request.body(Empty::<Bytes>::new()).expect("a request");
    let stream = TcpStream::connect(place).await.expect("a connection");
    let mut socket = match handshake::client(&Executor, request, stream).await {
        Ok((mut socket, _)) => {
            if given.limit > 0 {
                socket.set_max_message_size(given.limit);
            }
            FragmentCollector::new(socket)
        }
        Err(WebSocketError::InvalidStatusCode(status)) => return println!("refused {status} -"),
        Err(error) => return println!("failed {error}"),
    };
    println!("open");
    let mut commands = commands();
    loop {
        tokio::select! {
            frame = socket.read_frame() => match frame {
                Ok(frame) => match frame.opcode {
                    OpCode::Text => {
                        let text = String::from_utf8_lossy(&frame.payload);
                        println!("text {text}");
                        tokio::time::sleep(pause(&text)).await;
                    }
                    OpCode::Binary => println!("binary {}", hex(&frame.payload)),
                    OpCode::Close if frame.payload.len() >= 2 => {
                        let code = u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
                        return println!("closed {code} {}", String::from_utf8_lossy(&frame.payload[2..]));
                    }
                    _ => {}
                },
                Err(WebSocketError::FrameTooLarge) => return println!("closed 1009 too large"),
                Err(error) => return println!("closed 1006 {error}"),
            },
            Some(command) = commands.recv() => {
                let frame = match command {
                    Command::Text(text) => Frame::text(Payload::Owned(text.into_bytes())),
                    Command::Binary(data) => Frame::binary(Payload::Owned(data)),
                    Command::Close => Frame::close(1000, b""),
                };
                let _ = socket.write_frame(frame).await;
            }
        }
    }
}
