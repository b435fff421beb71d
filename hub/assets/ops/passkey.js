// Passkeys: the browser asks the authenticator, and a form of the page carries what it says. Codes do without this.
"use strict";

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

// What the hub asks for; or why not, as its pages say it.
async function asked(form) {
  const answer = await fetch(form.dataset.passkey, { method: "POST", body: new URLSearchParams(new FormData(form)) });
  if (answer.ok && !answer.redirected) return answer.json();
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  throw new Error(page.getElementById("why")?.textContent ?? form.querySelector(".wrong").dataset.failed);
}

async function say(form) {
  const { publicKey } = await asked(form);
  publicKey.challenge = bytes(publicKey.challenge);
  for (const list of [publicKey.excludeCredentials, publicKey.allowCredentials]) {
    for (const one of list ?? []) one.id = bytes(one.id);
  }
  const fields = form.elements;
  if (publicKey.user) {
    publicKey.user.id = bytes(publicKey.user.id);
    const { response } = await navigator.credentials.create({ publicKey });
    fields.client_data.value = text(response.clientDataJSON);
    fields.attestation.value = text(response.attestationObject);
    // It was asked for already, and need not go twice.
    fields.password.disabled = true;
  } else {
    const { rawId, response } = await navigator.credentials.get({ publicKey });
    fields.credential.value = text(rawId);
    fields.client_data.value = text(response.clientDataJSON);
    fields.authenticator_data.value = text(response.authenticatorData);
    fields.signature.value = text(response.signature);
    fields.user_handle.value = response.userHandle ? text(response.userHandle) : "";
  }
  form.submit();
}

if (window.PublicKeyCredential) {
  for (const form of document.querySelectorAll("[data-passkey]")) {
    const wrong = form.querySelector(".wrong");
    form.hidden = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      wrong.hidden = true;
      say(form).catch((error) => {
        // Browsers tell in their own words, and rightly not much, when somebody closes their window.
        const closed = error instanceof DOMException;
        wrong.textContent = closed ? wrong.dataset.closed : error.message;
        wrong.hidden = false;
      });
    });
  }
  document.querySelector("[data-without]")?.remove();
}
