//! What a provider tells of itself (OpenID Connect Discovery 1.0, RFC 8414).

use serde::Deserialize;

use super::settings::{Config, address};

/// Of the document what is used here.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct About {
    issuer: String,
    /// Where browsers are sent.
    pub authorization_endpoint: String,
    /// Where a code becomes a token.
    pub token_endpoint: String,
    /// Where its keys are.
    pub jwks_uri: String,
    /// Whether each answer names its issuer (RFC 9207).
    #[serde(default, rename = "authorization_response_iss_parameter_supported")]
    pub names_itself: bool,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
}

/// Where it is told: a slash at the issuer's end is not doubled.
pub(super) fn place(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

impl About {
    /// Reads and checks it.
    pub fn read(bytes: &[u8], config: &Config) -> Result<Self, String> {
        let about: Self = serde_json::from_slice(bytes)
            .map_err(|error| format!("its configuration cannot be read: {error}"))?;
        if about.issuer != config.issuer {
            return Err("its configuration is of another issuer than the settings name".into());
        }
        let near = config.issuer.starts_with("http://");
        for place in [&about.authorization_endpoint, &about.token_endpoint, &about.jwks_uri] {
            let good = address(place).is_some() && (near || place.starts_with("https://"));
            // It goes into a header as it is.
            if !good || !place.bytes().all(|b| b.is_ascii_graphic()) {
                return Err("its configuration names an address without TLS, or none".into());
            }
        }
        let has = |list: &Option<Vec<String>>, one: &str| {
            list.as_ref().is_none_or(|list| list.iter().any(|own| own == one))
        };
        // Some have it and do not say so; who says that it has something else has not.
        if !has(&about.code_challenge_methods_supported, "S256") {
            return Err("it does not do PKCE by S256".into());
        }
        if config.secret.is_some() && !about.takes_basic() && !about.takes_post() {
            return Err(
                "it takes a secret neither by client_secret_basic nor by client_secret_post".into(),
            );
        }
        Ok(about)
    }

    /// Whether it takes the secret in a header, which is what counts where it does not say.
    pub fn takes_basic(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_ref();
        methods.is_none_or(|all| all.iter().any(|one| one == "client_secret_basic"))
    }

    fn takes_post(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_ref();
        methods.is_some_and(|all| all.iter().any(|one| one == "client_secret_post"))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::account::oidc::settings::Raw;

    #[test]
    fn a_provider_of_the_web_names_no_address_without_tls_not_even_on_this_machine() {
        let text = "issuer = 'https://id.example/'\nclient_id = 'weir'";
        let config = toml::from_str::<Raw>(text).unwrap().check(Path::new("."), &mut Vec::new());
        assert_eq!(place(&config.issuer), "https://id.example/.well-known/openid-configuration");
        assert_eq!(config.label, "id.example");
        let names = ["authorization_endpoint", "token_endpoint", "jwks_uri"];
        let mut about = json!({ "issuer": "https://id.example/" });
        names.iter().for_each(|name| about[*name] = json!("https://other.example/x?y=z"));
        let read = |about: &serde_json::Value| About::read(about.to_string().as_bytes(), &config);
        read(&about).unwrap();
        for name in names {
            for bad in
                ["http://127.0.0.1/x", "http://id.example", "javascript:x", "/x", "https://a b", ""]
            {
                let mut other = about.clone();
                other[name] = json!(bad);
                assert!(read(&other).is_err(), "{name} {bad}");
            }
        }
        about["issuer"] = json!("https://id.example");
        assert!(read(&about).is_err(), "nearly the same");
    }
}
