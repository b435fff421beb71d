//! Picks each value from the strongest layer that has it.

use std::fmt::Display;
use std::str::FromStr;

use domain::{Problem, Problems};
use ipnet::IpNet;

use super::{Config, Layer, Origin, Raw};

/// A setting in force: its key, its value, where that comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Full key.
    pub key: &'static str,
    /// The value.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// The layers being picked from.
pub struct Pick {
    layers: Vec<Layer>,
    shown: Vec<Shown>,
    problems: Vec<Problem>,
}

impl Pick {
    /// Picks from these layers, the strongest first.
    pub fn new(mut layers: Vec<Layer>) -> Self {
        let problems = layers.iter_mut().flat_map(|l| std::mem::take(&mut l.problems)).collect();
        Self { layers, shown: Vec::new(), problems }
    }

    /// The strongest layer's value.
    pub fn first<T>(&self, of: impl Fn(&Raw) -> Option<T>) -> Option<T> {
        self.layers.iter().find_map(|layer| of(&layer.raw))
    }

    /// A value that may be absent.
    pub fn option<T: Display>(
        &mut self,
        key: &'static str,
        of: impl Fn(&Raw) -> Option<T>,
    ) -> Option<T> {
        let found = self.layers.iter().find_map(|l| Some((of(&l.raw)?, l.origin(key))));
        let (value, origin) = found.map_or((None, Origin::Default), |(v, o)| (Some(v), o));
        let shown = value.as_ref().map_or_else(|| "(none)".into(), T::to_string);
        self.shown.push(Shown { key, value: shown, origin });
        value
    }

    /// A value with a default.
    pub fn or<T: Display>(
        &mut self,
        key: &'static str,
        of: impl Fn(&Raw) -> Option<T>,
        default: impl FnOnce() -> T,
    ) -> T {
        let value = self.option(key, of).unwrap_or_else(default);
        if let Some(shown) = self.shown.last_mut() {
            shown.value = value.to_string();
        }
        value
    }

    /// A value that is written as a string, with a default.
    pub fn parsed<T: FromStr<Err: Display> + Display>(
        &mut self,
        key: &'static str,
        of: impl Fn(&Raw) -> Option<String>,
        default: T,
    ) -> T {
        let text = self.or(key, of, || default.to_string());
        text.parse().unwrap_or_else(|error| {
            let message = format!("`{text}`: {error}; write for example `{default}`");
            self.problem(key, message);
            default
        })
    }

    /// A list of strings; absent is empty.
    pub fn list(
        &mut self,
        key: &'static str,
        of: impl Fn(&Raw) -> Option<Vec<String>>,
    ) -> Vec<String> {
        let list = self.first(&of).unwrap_or_default();
        self.option(key, |raw| of(raw).map(|list| list.join(", ")));
        list
    }

    /// A list of networks; a bare address is a network of one.
    pub fn networks(
        &mut self,
        key: &'static str,
        of: impl Fn(&Raw) -> Option<Vec<String>>,
    ) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for text in self.list(key, of) {
            let network =
                text.parse().or_else(|_| text.parse().map(|ip: std::net::IpAddr| ip.into()));
            match network {
                Ok(network) => networks.push(network),
                Err(_) => self.problem(
                    key,
                    format!("`{text}` is neither an address nor a network; write for example `10.0.0.0/8`"),
                ),
            }
        }
        networks
    }

    /// Notes a mistake.
    pub fn problem(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(Problem { key: key.to_owned(), line: None, message: message.into() });
    }

    /// The result, unless there was a mistake.
    pub fn finish(self, config: Config) -> Result<(Config, Vec<Shown>), Problems> {
        if self.problems.is_empty() {
            Ok((config, self.shown))
        } else {
            Err(Problems(self.problems))
        }
    }
}
