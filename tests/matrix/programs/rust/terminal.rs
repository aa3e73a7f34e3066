//! Commands come as lines on standard input, and what happens goes out as lines on standard output.

use std::env;
use std::io::{stdin, BufRead};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver};

/// What the program is told when it is started.
pub struct Given {
    pub url: String,
    pub token: String,
    /// The largest message, in bytes; 0 leaves that of the library.
    pub limit: usize,
    pub subprotocols: String,
}

pub fn given() -> Given {
    let mut words = env::args().skip(1);
    let mut next = || words.next().unwrap_or_default();
    let (url, token, limit) = (next(), next(), next().parse().unwrap_or(0));
    Given { url, token, limit, subprotocols: words.collect::<Vec<_>>().join(", ") }
}

pub enum Command {
    Text(String),
    Binary(Vec<u8>),
    Close,
}

/// The lines of standard input, read in a thread of its own.
pub fn commands() -> UnboundedReceiver<Command> {
    let (sender, receiver) = unbounded_channel();
    thread::spawn(move || {
        for line in stdin().lock().lines().map_while(Result::ok) {
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let _ = sender.send(match word {
                "text" => Command::Text(rest.to_string()),
                "binary" => Command::Binary(bytes(rest)),
                _ => Command::Close,
            });
        }
    });
    receiver
}

/// The time for which an application does something else after this message.
pub fn pause(message: &str) -> Duration {
    Duration::from_secs(if message.contains("\"pause\"") { 3 } else { 0 })
}

pub fn hex(data: &[u8]) -> String {
    data.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).filter_map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok()).collect()
}
