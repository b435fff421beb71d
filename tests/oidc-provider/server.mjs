// The provider of identities that one test logs in at: whoever types a name is that person. Arguments: its port, where browsers may be sent back to, its algorithm.
import { generateKeyPairSync } from "node:crypto";
import { Provider } from "oidc-provider";

const [port, back, alg] = process.argv.slice(2);
const kinds = {
  RS256: ["rsa", { modulusLength: 2048 }],
  PS256: ["rsa", { modulusLength: 2048 }],
  ES256: ["ec", { namedCurve: "P-256" }],
  EdDSA: ["ed25519", {}],
};
const key = generateKeyPairSync(...kinds[alg]).privateKey.export({ format: "jwk" });

const provider = new Provider(`http://localhost:${port}`, {
  clients: [{
    client_id: "weir:hub",
    client_secret: "s3cret %&+:/=?",
    redirect_uris: [back],
    response_types: ["code"],
    grant_types: ["authorization_code"],
    id_token_signed_response_alg: alg,
  }],
  claims: { openid: ["sub"], profile: ["name"], email: ["email"] },
  cookies: { keys: ["not a secret"] },
  enabledJWA: { idTokenSigningAlgValues: ["RS256", "PS256", "ES256", "EdDSA"] },
  jwks: { keys: [{ ...key, alg, use: "sig", kid: "one" }] },
  pkce: { required: () => true },
});
provider.on("server_error", (_, error) => console.error(error));
provider.listen(port, () => console.log("ready"));
