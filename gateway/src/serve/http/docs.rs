//! `/openapi.json`, and the same for people at `/docs`.

use std::fmt::Write as _;
use std::sync::OnceLock;

use axum::http::header;
use axum::response::{Html, IntoResponse};
use serde_json::{Map, Value};

/// The API, kept by hand; `tests/tests/openapi.rs` calls the service by it.
const OPENAPI: &str = include_str!("../../../assets/openapi.json");

/// How `/docs` looks.
const STYLE: &str = include_str!("../../../assets/docs.css");

/// Only the page's own style may be loaded, and nothing runs.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /openapi.json`.
pub async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}

/// `GET /docs.css`.
pub async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
}

/// `GET /docs`.
pub async fn docs() -> impl IntoResponse {
    static PAGE: OnceLock<String> = OnceLock::new();
    let page = PAGE.get_or_init(|| {
        let document: Value = serde_json::from_str(OPENAPI).unwrap_or_default();
        Page::new(&document).write().unwrap_or_default()
    });
    ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(page.as_str()))
}

/// The document as a page.
struct Page<'a> {
    document: &'a Value,
    html: String,
}

type Written = Result<(), std::fmt::Error>;

impl<'a> Page<'a> {
    fn new(document: &'a Value) -> Self {
        Self { document, html: String::new() }
    }

    fn write(mut self) -> Result<String, std::fmt::Error> {
        let info = &self.document["info"];
        let title = text(&info["title"]);
        write!(
            self.html,
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width, initial-scale=1\"><title>{title}</title><link rel=\"stylesheet\" \
             href=\"/docs.css\"></head><body><main><h1>{title} {}</h1><p>{}</p><p>For programs: \
             <a href=\"/openapi.json\">openapi.json</a></p>",
            text(&info["version"]),
            words(&info["description"])
        )?;
        for tag in self.document["tags"].as_array().into_iter().flatten() {
            self.tag(tag)?;
        }
        self.reasons()?;
        self.html.push_str("</main></body></html>\n");
        Ok(self.html)
    }

    fn tag(&mut self, tag: &Value) -> Written {
        let name = text(&tag["name"]);
        write!(self.html, "<section><h2>{name}</h2><p>{}</p>", words(&tag["description"]))?;
        for (path, methods) in entries(&self.document["paths"]) {
            for (method, call) in entries(methods) {
                if call["tags"][0] == tag["name"] {
                    self.call(path, method, call)?;
                }
            }
        }
        self.html.push_str("</section>");
        Ok(())
    }

    fn call(&mut self, path: &str, method: &str, call: &'a Value) -> Written {
        write!(
            self.html,
            "<section id=\"{}\"><h3>{}</h3><p><code>{} {}</code></p><p>{}</p>",
            text(&call["operationId"]),
            text(&call["summary"]),
            method.to_uppercase(),
            escape(path),
            words(&call["description"])
        )?;
        let parameters: Vec<&Value> = call["parameters"].as_array().into_iter().flatten().collect();
        self.table(
            "Parameters",
            parameters.iter().map(|p| {
                let name = format!("<code>{}</code> ({})", text(&p["name"]), text(&p["in"]));
                (name, described(&p["schema"], p["description"].as_str()))
            }),
        )?;
        for (kind, media) in entries(&call["requestBody"]["content"]) {
            let schema = self.resolve(&media["schema"]);
            let choices: Vec<&Value> = match schema["oneOf"].as_array() {
                Some(choices) if schema["properties"].is_null() => choices.iter().collect(),
                _ => vec![schema],
            };
            for choice in choices {
                let title = choice["title"].as_str().map(|t| format!(": {}", escape(t)));
                let caption = format!("Body, {}{}", escape(kind), title.unwrap_or_default());
                let fields = self.fields(choice);
                self.table(&caption, fields.into_iter())?;
            }
        }
        let answers: Vec<(String, String)> = entries(&call["responses"])
            .map(|(code, answer)| {
                let answer = self.resolve(answer);
                (format!("<code>{}</code>", escape(code)), words(&answer["description"]))
            })
            .collect();
        self.table("Answers", answers.into_iter())?;
        self.html.push_str("</section>");
        Ok(())
    }

    /// The keys of an object, those of the objects that it names among them.
    fn fields(&self, schema: &'a Value) -> Vec<(String, String)> {
        let schema = self.resolve(schema);
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut fields = Vec::new();
        for (name, field) in entries(&schema["properties"]) {
            let must = if required.contains(&name) { ", required" } else { "" };
            let resolved = self.resolve(field);
            let about = described(resolved, field["description"].as_str());
            fields.push((format!("<code>{}</code>{must}", escape(name)), about));
            if resolved["properties"].is_object() {
                let inner = self.fields(resolved).into_iter();
                fields
                    .extend(inner.map(|(n, d)| (format!("<code>{}.</code>{n}", escape(name)), d)));
            }
        }
        fields
    }

    fn resolve(&self, value: &'a Value) -> &'a Value {
        let pointer = value["$ref"].as_str().and_then(|name| name.strip_prefix('#'));
        pointer.and_then(|pointer| self.document.pointer(pointer)).unwrap_or(value)
    }

    fn table(&mut self, caption: &str, rows: impl Iterator<Item = (String, String)>) -> Written {
        let mut rows = rows.peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        write!(self.html, "<table><caption>{caption}</caption><tbody>")?;
        for (name, about) in rows {
            write!(self.html, "<tr><th scope=\"row\">{name}</th><td>{about}</td></tr>")?;
        }
        self.html.push_str("</tbody></table>");
        Ok(())
    }

    fn reasons(&mut self) -> Written {
        self.html.push_str("<section><h2>Reasons of problems</h2><table><tbody>");
        for (reason, what) in entries(&self.document["x-reasons"]) {
            write!(
                self.html,
                "<tr id=\"problem-{0}\"><th scope=\"row\"><code>{0}</code></th><td>{1}</td></tr>",
                escape(reason),
                words(what)
            )?;
        }
        self.html.push_str("</tbody></table></section>");
        Ok(())
    }
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let map: Option<&Map<String, Value>> = value.as_object();
    map.into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

/// A schema in a few words.
fn described(schema: &Value, description: Option<&str>) -> String {
    let kind = match &schema["type"] {
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => {
            let kinds = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
            kinds.collect::<Vec<_>>().join(" or ")
        }
        _ => String::new(),
    };
    let choices = schema["enum"].as_array().map(|values| {
        let values: Vec<String> = values.iter().map(|v| v.to_string().replace('"', "")).collect();
        format!(": {}", values.join(", "))
    });
    let bound = |name: &str, sign: &str| {
        schema[name].as_i64().map(|n| format!(", {sign} {n}")).unwrap_or_default()
    };
    let default = match &schema["default"] {
        Value::Null => String::new(),
        value => format!(", else {value}"),
    };
    let plain = format!(
        "{kind}{}{}{}{}{default}. {}",
        choices.unwrap_or_default(),
        bound("minimum", "≥"),
        bound("maximum", "≤"),
        bound("maxLength", "length ≤"),
        description.unwrap_or_default()
    );
    marked(&plain)
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

fn words(value: &Value) -> String {
    marked(value.as_str().unwrap_or_default())
}

/// Prose with `code` in it.
fn marked(prose: &str) -> String {
    let parts = prose.split('`').enumerate().map(|(n, part)| {
        let part = escape(part).replace("\n\n", "</p><p>");
        if n % 2 == 1 { format!("<code>{part}</code>") } else { part }
    });
    parts.collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use std::collections::BTreeSet;
    use std::path::Path;

    use regex::Regex;

    use super::*;

    fn sources(folder: &Path, all: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, all);
            } else {
                all.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }

    #[test]
    fn every_reason_and_every_route_is_in_the_document() {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        let mut code = String::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/serve"), &mut code);
        let reason = Regex::new(
            r#"(?:Problem::|Self::)(?:bad|invalid|unavailable)\(\s*"([a-z_0-9]+)"|StatusCode::[A-Z_]+,\s*"([a-z_]+)"|unauthorised\(\s*"([a-z_]+)"|Self::\w+ => "((?:token|keys)_[a-z_]+)""#,
        );
        let found: BTreeSet<&str> = reason
            .unwrap()
            .captures_iter(&code)
            .filter_map(|c| c.iter().skip(1).flatten().next().map(|m| m.as_str()))
            .collect();
        assert!(found.len() > 30, "the search finds too few: {found:?}");
        let told: BTreeSet<&str> = entries(&document["x-reasons"]).map(|(name, _)| name).collect();
        let untold: Vec<_> = found.difference(&told).collect();
        assert!(untold.is_empty(), "not in x-reasons of openapi.json: {untold:?}");
        let route = Regex::new(r#"\.route\(\s*"(/(?:v1|healthz|readyz|metrics)[^"]*)""#).unwrap();
        let mut routes: BTreeSet<&str> =
            route.captures_iter(&code).map(|c| c.get(1).unwrap().as_str()).collect();
        routes.insert(crate::serve::http::gate::GATE);
        let paths: BTreeSet<&str> = entries(&document["paths"]).map(|(path, _)| path).collect();
        assert_eq!(routes, paths);
    }

    #[test]
    fn the_page_shows_every_call_and_lets_no_markup_in() {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        let page = Page::new(&document).write().unwrap();
        for (path, methods) in entries(&document["paths"]) {
            for (method, call) in entries(methods) {
                let line = format!("<code>{} {}</code>", method.to_uppercase(), escape(path));
                assert!(page.contains(&line), "{line}");
                assert!(
                    page.contains(&format!("id=\"{}\"", call["operationId"].as_str().unwrap()))
                );
            }
        }
        let hostile =
            serde_json::json!({ "info": { "title": "<script>", "description": "`<b>`" } });
        let page = Page::new(&hostile).write().unwrap();
        assert!(!page.contains("<script>") && page.contains("<code>&lt;b&gt;</code>"), "{page}");
    }
}
