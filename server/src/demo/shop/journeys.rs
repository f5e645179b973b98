//! What visitors do: one function a journey, which plays it on a [`Scene`].
//!
//! Chance decides prices, latencies and failures; the shapes are those of real shops: fan-out,
//! caches, retries, a payment that is declined, a queue between two traces.

use spanlake_proto::otlp::trace::span::{Link, SpanKind};

use super::attributes::{bytes, double, flag, int, map, text, texts};
use super::cast::Service::{
    Cart, Catalog, Checkout, Email, Frontend, Payment, Recommendation, Shipping,
};
use super::scene::{Actor, Fault, Outcome, Scene};
use super::words;

/// A web request to the frontend; sets what HTTP instrumentation sets.
fn web(
    scene: &mut Scene<'_>,
    method: &str,
    route: &str,
    path: &str,
    play: impl FnOnce(&mut Scene<'_>, &mut Actor) -> Outcome,
) {
    let name = format!("{method} {route}");
    // The fault has done its work: it is on the spans.
    let _ = scene.enter(Frontend, &name, SpanKind::Server, |scene, web| {
        web.note(text("http.request.method", method));
        web.note(text("http.route", route));
        web.note(text("url.path", path));
        web.note(text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0)"));
        web.note(text("enduser.id", format!("user-{}", scene.rng.below(400))));
        web.note(flag("app.logged_in", scene.rng.chance(60)));
        scene.pass(600);
        let outcome = play(scene, web);
        let status = outcome.as_ref().err().map_or(200, |fault| fault.http_status);
        scene.pass(1_500);
        web.note(int("http.response.status_code", status));
        outcome
    });
}

fn good(scene: &mut Scene<'_>) -> (&'static str, &'static str, i64) {
    scene.rng.pick(&words::GOODS).copied().unwrap_or(("", "", 0))
}

fn product(scene: &mut Scene<'_>, caller: &Actor, id: &str, stocked: bool) -> Outcome {
    scene.call(caller, Catalog, "GetProduct", |scene, catalog| {
        catalog.note(text("app.product.id", id));
        scene.query(catalog, "redis", "GET product", &format!("GET product:{id}"), 400);
        let hit = scene.rng.chance(70);
        catalog.note(flag("app.cache.hit", hit));
        if !hit {
            scene.query(catalog, "postgresql", "SELECT products", words::PRODUCT, 3_500);
            scene.query(
                catalog,
                "redis",
                "SETEX product",
                &format!("SETEX product:{id} 300 ?"),
                350,
            );
        }
        if stocked {
            return Ok(());
        }
        Err(Fault::new(
            "*errors.errorString",
            format!("product {id} is out of stock"),
            words::OUT_OF_STOCK,
            409,
        ))
    })
}

/// Looks at a product, and at what others bought.
pub(super) fn browse(scene: &mut Scene<'_>) {
    let (id, _, _) = good(scene);
    web(scene, "GET", "/product/{id}", &format!("/product/{id}"), |scene, web| {
        product(scene, web, id, true)?;
        scene.call(web, Recommendation, "ListRecommendations", |scene, recommend| {
            let seen = (0..3).map(|_| good(scene).0.to_owned()).collect::<Vec<_>>();
            recommend.note(texts("app.product.ids", seen));
            recommend.note(double("app.model.score", scene.rng.below(1_000) as f64 / 1_000.0));
            scene.step(recommend, "rank candidates", |scene, _| {
                scene.pass(4_000);
                Ok(())
            })?;
            let other = good(scene).0;
            product(scene, recommend, other, true)
        })?;
        scene.step(web, "render product.html", |scene, _| {
            scene.pass(2_500);
            Ok(())
        })
    });
}

/// Searches; the statement is long, and slow where the planner has a bad day.
pub(super) fn search(scene: &mut Scene<'_>) {
    let words = scene.rng.pick(&words::SEARCHES).copied().unwrap_or_default();
    web(scene, "GET", "/search", "/search", |scene, web| {
        web.note(text("url.query", format!("q={words}")));
        scene.call(web, Catalog, "SearchProducts", |scene, catalog| {
            catalog.note(text("app.search.words", words));
            let slow = scene.rng.chance(15);
            let micros = if slow { 1_400_000 } else { 24_000 };
            scene.query(catalog, "postgresql", "SELECT products", words::SEARCH, micros);
            if slow {
                let plan =
                    vec![text("node", "Seq Scan"), int("rows", 1_204_332), flag("jit", true)];
                scene.event(catalog, "slow query", vec![map("db.plan", plan)]);
            }
            Ok(())
        })
    });
}

/// Puts something into the cart.
pub(super) fn add_to_cart(scene: &mut Scene<'_>) {
    let (id, name, _) = good(scene);
    let stocked = !scene.rng.chance(5);
    web(scene, "POST", "/cart", "/cart", |scene, web| {
        web.note(text("app.product.name", name));
        product(scene, web, id, stocked)?;
        let quantity = 1 + scene.rng.below(3) as i64;
        scene.call(web, Cart, "AddItem", |scene, cart| {
            cart.note(int("app.cart.quantity", quantity));
            scene.query(
                cart,
                "redis",
                "HINCRBY cart",
                &format!("HINCRBY cart:? {id} {quantity}"),
                500,
            );
            Ok(())
        })
    });
}

/// How a payment goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Luck {
    Paid,
    Declined,
    Timeout,
}

/// Buys; out comes the link that the order's message carries, where it was paid.
pub(super) fn checkout(scene: &mut Scene<'_>) -> Option<Link> {
    let luck = match scene.rng.below(100) {
        0..=79 => Luck::Paid,
        80..=93 => Luck::Declined,
        _ => Luck::Timeout,
    };
    let mut message = None;
    web(scene, "POST", "/checkout", "/checkout", |scene, web| {
        scene.call(web, Checkout, "PlaceOrder", |scene, checkout| {
            place_order(scene, checkout, luck)?;
            message = Some(scene.publish(checkout, "orders", 740));
            scene.call(checkout, Cart, "EmptyCart", |scene, cart| {
                scene.query(cart, "redis", "DEL cart", "DEL cart:?", 400);
                Ok(())
            })
        })
    });
    message
}

fn place_order(scene: &mut Scene<'_>, checkout: &mut Actor, luck: Luck) -> Outcome {
    let goods: Vec<_> = (0..1 + scene.rng.below(3)).map(|_| good(scene)).collect();
    let total: i64 = goods.iter().map(|g| g.2).sum();
    let address = vec![text("city", "Köln"), text("country", "DE"), int("zip", 50_667)];
    let order = scene.rng.next();
    checkout.note(text("app.order.id", format!("{order:016x}")));
    checkout.note(double("app.order.total", total as f64 / 100.0));
    checkout.note(texts("app.product.ids", goods.iter().map(|g| g.0.to_owned())));
    checkout.note(map("app.shipping.address", address));
    checkout.note(bytes("app.order.digest", order.to_be_bytes().to_vec()));
    scene.call(checkout, Cart, "GetCart", |scene, cart| {
        scene.query(cart, "redis", "HGETALL cart", "HGETALL cart:?", 600);
        Ok(())
    })?;
    scene.both(
        |scene| goods.iter().try_for_each(|g| product(scene, checkout, g.0, true)),
        |scene| {
            scene.call(checkout, Shipping, "GetQuote", |scene, shipping| {
                scene.pass(7_000);
                shipping.note(double("app.quote.eur", 4.9 + goods.len() as f64));
                Ok(())
            })
        },
    )?;
    charge(scene, checkout, total, luck)?;
    scene.query(checkout, "postgresql", "INSERT orders", words::INSERT_ORDER, 6_000);
    scene.event(checkout, "order placed", vec![int("app.order.items", goods.len() as i64)]);
    Ok(())
}

fn charge(scene: &mut Scene<'_>, checkout: &Actor, cents: i64, luck: Luck) -> Outcome {
    scene.call(checkout, Payment, "Charge", |scene, payment| {
        payment.note(text("app.payment.card", "visa ****4242"));
        payment.note(int("app.payment.cents", cents));
        let tries = if luck == Luck::Timeout { 3 } else { 1 };
        let mut outcome = Ok(());
        for attempt in 1..=tries {
            if attempt > 1 {
                scene.pass(50_000 * attempt);
                scene.event(payment, "retry", vec![int("attempt", attempt as i64)]);
            }
            outcome = ask_bank(scene, payment, luck);
        }
        outcome
    })
}

fn ask_bank(scene: &mut Scene<'_>, payment: &Actor, luck: Luck) -> Outcome {
    let request = vec![
        text("http.request.method", "POST"),
        text("url.full", "https://bank.example/v2/charges"),
        text("server.address", "bank.example"),
        int("server.port", 443),
    ];
    scene.external(payment, "POST", request, |scene, bank| match luck {
        Luck::Paid => {
            scene.pass(120_000);
            bank.note(int("http.response.status_code", 201));
            Ok(())
        }
        Luck::Declined => {
            scene.pass(180_000);
            bank.note(int("http.response.status_code", 402));
            Err(Fault::new(
                "CardDeclinedError",
                "Your card was declined: insufficient funds",
                words::DECLINED,
                402,
            ))
        }
        Luck::Timeout => {
            scene.now += 900_000_000;
            Err(Fault::new(
                "GatewayTimeoutError",
                "no answer from bank.example within 900 ms",
                words::TIMEOUT,
                504,
            ))
        }
    })
}

/// The order's message is taken from the queue: a trace of its own that links to the purchase.
pub(super) fn fulfil(scene: &mut Scene<'_>, order: Link) {
    // The fault has done its work: it is on the spans.
    let _ = scene.enter(Shipping, "process orders", SpanKind::Consumer, |scene, shipping| {
        shipping.span.links.push(order);
        shipping.note(text("messaging.system", "kafka"));
        shipping.note(text("messaging.destination.name", "orders"));
        shipping.note(text("messaging.consumer.group.name", "fulfilment"));
        let reserve = "UPDATE stock SET reserved = reserved + $2 WHERE product_id = $1";
        scene.query(shipping, "postgresql", "UPDATE stock", reserve, 5_000);
        // A mail that cannot be sent does not stop the parcel.
        let _ =
            scene.call(shipping, Email, "SendConfirmation", |scene, email| confirm(scene, email));
        scene.step(shipping, "print label", |scene, label| {
            scene.pass(30_000);
            label.note(text("app.parcel.carrier", "DHL"));
            Ok(())
        })
    });
}

fn confirm(scene: &mut Scene<'_>, email: &mut Actor) -> Outcome {
    email.note(text("app.email.template", "order-confirmation.html.erb"));
    // The SDK's limit of attributes was reached.
    email.span.dropped_attributes_count = 2;
    let server = vec![text("server.address", "smtp.example"), int("server.port", 587)];
    let busy = scene.rng.chance(10);
    scene.external(email, "SMTP send", server, |scene, _| {
        scene.pass(85_000);
        if !busy {
            return Ok(());
        }
        Err(Fault::new(
            "Net::SMTPServerBusy",
            "451 4.7.1 Greylisting in action, please come back later",
            words::SMTP,
            500,
        ))
    })
}

/// The recommendations' model learns: a job without a request, many statements, long.
pub(super) fn train(scene: &mut Scene<'_>) {
    // Nothing fails in here.
    let _ = scene.enter(Recommendation, "train model", SpanKind::Internal, |scene, job| {
        job.note(text("app.job.schedule", "*/10 * * * *"));
        for day in 0..12 {
            scene.step(job, "read day", |scene, step| {
                step.note(int("app.day", day));
                scene.query(step, "postgresql", "SELECT order_items", words::CO_PURCHASES, 90_000);
                Ok(())
            })?;
        }
        scene.step(job, "factorise", |scene, step| {
            scene.pass(1_900_000);
            step.note(double("app.model.loss", 0.0417));
            Ok(())
        })?;
        scene.query(job, "redis", "SET model", "SET recommendation:model ?", 12_000);
        Ok(())
    });
}
