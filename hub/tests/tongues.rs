//! In which language the screens are, by plain HTTPS against the real hub on Postgres.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rig::hub::Hub;
use rig::ops::{Page, Person};

fn lang(page: &Page) -> &str {
    let (_, rest) = page.body.split_once("<html lang=\"").unwrap();
    rest.split_once('"').unwrap().0
}

#[test]
fn the_entrance_speaks_as_the_browser_asks_or_as_somebody_chose() {
    let hub = Hub::start();
    let asks = |path: &str, headers: &[(&str, &str)]| hub.see_with(path, headers);
    let plain = asks("/ops/login", &[]);
    assert_eq!(lang(&plain), "en", "{plain:?}");
    let french =
        asks("/ops/login?next=/ops/fleet", &[("accept-language", "de, fr-CA;q=0.8, en;q=0.5")]);
    assert!(lang(&french) == "fr" && french.body.contains("Mot de passe"), "{french:?}");
    assert!(french.body.contains("href=\"?next=%2Fops%2Ffleet&#38;language=am\""), "{french:?}");
    // What is chosen counts before what the browser asks for, and is kept.
    let chosen = asks("/ops/login?language=am", &[("accept-language", "fr")]);
    assert!(lang(&chosen) == "am" && chosen.body.contains("የይለፍ ቃል"), "{chosen:?}");
    let cookie = chosen.cookies.iter().find(|one| one.starts_with("__Host-weir-language=am;"));
    assert!(cookie.unwrap().contains("Secure; HttpOnly; SameSite=Lax"), "{chosen:?}");
    let kept =
        asks("/ops/login", &[("cookie", "__Host-weir-language=am"), ("accept-language", "fr")]);
    assert_eq!(lang(&kept), "am");
    // Nothing but the four is one, whoever says so.
    for strange in ["de", "\"><script>", "fr%0d%0aset-cookie:x=y", "../fr", ""] {
        let page = asks(
            &format!("/ops/login?language={}", strange.replace(['"', '<', '>'], "%22")),
            &[("cookie", "__Host-weir-language=xx")],
        );
        assert!(lang(&page) == "en" && page.cookies.is_empty(), "{strange}: {page:?}");
    }
    // What was wrong is said in it, too; and who is nobody hears it as well.
    let swahili = [("accept-language", "sw"), ("cookie", "")];
    let wrong = hub.send_with(
        "/ops/login",
        &swahili,
        &[("name", "nobody"), ("password", "wrong wrong wrong")],
    );
    assert!(wrong.status == 401 && wrong.body.contains("Jina au nenosiri si sahihi."), "{wrong:?}");
    let over = hub.send_with("/ops/me", &swahili, &[]);
    assert!(
        over.status == 401 && lang(&over) == "sw" && over.body.contains("kipindi chako kimekwisha"),
        "{over:?}"
    );
    let missing = asks("/ops/nothing", &swahili);
    assert!(missing.status == 404 && missing.body.contains("Haipatikani"), "{missing:?}");
}

#[test]
fn an_account_reads_in_the_language_of_its_own_choice_refusals_and_all() {
    let hub = Hub::start();
    let ann = Person::new(&hub, "ann", "moderator", &[]).visit(&hub);
    let french =
        |path: &str| hub.see_with(path, &[("cookie", &ann.cookie), ("accept-language", "fr")]);
    assert_eq!(lang(&french("/ops/me")), "fr", "nothing chosen: the browser's");
    let saved = ann.send("/ops/me", &[("what", "reading"), ("language", "am"), ("keys", "on")]);
    assert_eq!(saved.status, 303, "{saved:?}");
    let me = french("/ops/me?done=saved");
    assert!(lang(&me) == "am" && me.body.contains("ተቀምጧል።") && me.body.contains("አወያይ"), "{me:?}");
    let refused = french("/ops/accounts");
    assert!(
        refused.status == 403 && lang(&refused) == "am" && refused.body.contains("መለያዎችን ማስተዳደር"),
        "{refused:?}"
    );
    let strange = ann.send("/ops/me", &[("what", "reading"), ("language", "xx")]);
    assert!(strange.status == 422 && strange.body.contains("ካሉት ቋንቋዎች"), "{strange:?}");
    assert_eq!(hub.query("SELECT language, keys FROM accounts"), ["am|t"]);
    // Back to the browser's.
    ann.send("/ops/me", &[("what", "reading"), ("language", ""), ("keys", "on")]);
    assert_eq!(lang(&french("/ops/review")), "fr");
    assert_eq!(lang(&ann.see("/ops/review")), "en");
}

#[test]
fn who_switches_single_keys_off_sees_none() {
    let hub = Hub::start();
    let ann = Person::new(&hub, "ann", "moderator", &[]).visit(&hub);
    let shown =
        |page: &Page| (page.body.contains("<kbd>n</kbd>"), page.body.contains("data-keys=\"off\""));
    assert_eq!(shown(&ann.see("/ops/review")), (true, false));
    assert_eq!(ann.send("/ops/me", &[("what", "reading"), ("language", "")]).status, 303);
    let page = ann.see("/ops/review");
    assert_eq!(shown(&page), (false, true));
    assert!(page.body.contains("data-key=\"n\""), "the list of what can be done is made of these");
}

#[test]
fn policies_and_roll_outs_are_in_the_language_and_errors_of_the_file_in_english() {
    let hub = Hub::start();
    let ann = Person::new(&hub, "ann", "admin", &[]).visit(&hub);
    let id = "00000000-0000-0000-0000-000000000005";
    hub.query(&format!(
        "INSERT INTO rollouts (rollout, kind, name, version, content, note) VALUES ('{id}', 'policy', 'starter', 5, '', 'x');
         INSERT INTO rollout_stages (rollout, stage, lane, go_bytes, go_signature, back_bytes, back_signature) VALUES ('{id}', 1, 'fleet', '', '', '', '')"
    ));
    let one = format!("/ops/rollouts/{id}");
    for (code, pages) in [
        (
            "fr",
            [
                ("/ops/policies", "<h2 id=\"policies\" class=\"padded\">Politiques publiées</h2>"),
                ("/ops/policies/edit", "<button name=\"what\" value=\"check\">Vérifier</button>"),
                ("/ops/rollouts", "<td>ouvert</td><td>0 sur 1</td>"),
                (&one, ">1. parc : en attente</h2>"),
            ],
        ),
        (
            "am",
            [
                ("/ops/policies", "<h2 id=\"policies\" class=\"padded\">የተለቀቁ መመሪያዎች</h2>"),
                ("/ops/policies/edit", "<button name=\"what\" value=\"check\">አረጋግጥ</button>"),
                ("/ops/rollouts", "<td>ክፍት</td><td>ከ1 0</td>"),
                (&one, ">1. የሳጥኖች ስብስብ፦ በመጠበቅ ላይ</h2>"),
            ],
        ),
    ] {
        for (path, text) in pages {
            let page = hub.see_with(path, &[("cookie", &ann.cookie), ("accept-language", code)]);
            assert!(page.status == 200 && lang(&page) == code, "{path}: {page:?}");
            assert!(page.body.contains(text), "{path}: {page:?}");
        }
    }
    ann.send("/ops/me", &[("what", "reading"), ("language", "fr"), ("keys", "on")]);
    let wrong = ann.send("/ops/policies/edit", &[("text", "name = 7"), ("what", "check")]);
    assert!(
        wrong.body.contains("Elle ne peut pas être lue")
            && wrong.body.contains("<span lang=\"en\">"),
        "{wrong:?}"
    );
    let script = hub.see_with("/ops/login", &[("accept-language", "fr")]);
    assert!(script.body.contains("data-failed=\"Cela n’a pas marché"), "{script:?}");
}
