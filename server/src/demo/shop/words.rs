//! The shop's props: goods, statements, stack traces. Text only.

/// What the shop sells: id, name, price in cents.
pub(super) const GOODS: [(&str, &str, i64); 8] = [
    ("OLJCESPC7Z", "Sunglasses", 1999),
    ("66VCHSJNUP", "Tank top", 1899),
    ("1YMWWN1N4O", "Watch", 10_999),
    ("L9ECAV7KIM", "Loafers", 8999),
    ("2ZYFJ3GM2N", "Hairdryer", 2499),
    ("0PUK6V6EV0", "Candle holder", 1899),
    ("LS4PSXUNUM", "Salt & pepper shakers", 1849),
    ("9SIQT8TOJO", "Bamboo glass jar 竹", 549),
];

/// What people type into the search field.
pub(super) const SEARCHES: [&str; 5] = ["loafers", "glass jar", "gift for dad", "竹", "50% off"];

pub(super) const PRODUCT: &str =
    "SELECT id, name, description, picture, price_cents, categories FROM products WHERE id = $1";

/// The kind of statement that fills trace stores.
pub(super) const SEARCH: &str = "\
WITH ranked AS (
  SELECT p.id, p.name, p.price_cents, p.categories,
         ts_rank_cd(p.search_vector, plainto_tsquery('english', $1)) AS text_rank,
         COALESCE(s.sold_30d, 0) AS sold_30d,
         COALESCE(r.rating_avg, 0) AS rating_avg
    FROM products p
    LEFT JOIN LATERAL (
      SELECT SUM(oi.quantity) AS sold_30d
        FROM order_items oi
        JOIN orders o ON o.id = oi.order_id
       WHERE oi.product_id = p.id
         AND o.created_at > now() - INTERVAL '30 days'
         AND o.state IN ('paid', 'shipped', 'delivered')
    ) s ON TRUE
    LEFT JOIN (
      SELECT product_id, AVG(stars)::numeric(3,2) AS rating_avg
        FROM reviews
       WHERE NOT hidden
       GROUP BY product_id
    ) r ON r.product_id = p.id
   WHERE p.search_vector @@ plainto_tsquery('english', $1)
     AND p.active
     AND ($2::text IS NULL OR $2 = ANY (p.categories))
)
SELECT id, name, price_cents, categories, text_rank, sold_30d, rating_avg
  FROM ranked
 ORDER BY text_rank * 0.6 + LEAST(sold_30d, 500) / 500.0 * 0.3 + rating_avg / 5.0 * 0.1 DESC, id
 LIMIT $3 OFFSET $4";

pub(super) const INSERT_ORDER: &str = "\
INSERT INTO orders (id, user_id, currency, total_cents, shipping_cents, address, state, created_at)
VALUES ($1, $2, $3, $4, $5, $6::jsonb, 'paid', now())
RETURNING id";

pub(super) const CO_PURCHASES: &str = "\
SELECT a.product_id AS left_id, b.product_id AS right_id, COUNT(*) AS together
  FROM order_items a
  JOIN order_items b ON a.order_id = b.order_id AND a.product_id < b.product_id
  JOIN orders o ON o.id = a.order_id
 WHERE o.created_at BETWEEN $1 AND $2
 GROUP BY 1, 2
HAVING COUNT(*) > 2
 ORDER BY together DESC";

pub(super) const DECLINED: &str = "\
CardDeclinedError: Your card was declined: insufficient funds
    at Gateway.charge (/app/src/gateway.ts:118:13)
    at process.processTicksAndRejections (node:internal/process/task_queues:105:5)
    at async PaymentService.charge (/app/src/payment.ts:64:20)
    at async Object.onReceiveHalfClose (/app/node_modules/@grpc/grpc-js/build/src/server.js:1462:9)";

pub(super) const TIMEOUT: &str = "\
GatewayTimeoutError: no answer from bank.example within 900 ms
    at Timeout._onTimeout (/app/src/gateway.ts:91:17)
    at listOnTimeout (node:internal/timers:588:17)
    at process.processTimers (node:internal/timers:523:7)";

pub(super) const SMTP: &str = "\
Net::SMTPServerBusy: 451 4.7.1 Greylisting in action, please come back later
/usr/local/bundle/gems/net-smtp-0.5.1/lib/net/smtp.rb:1067:in `check_response'
/usr/local/bundle/gems/mail-2.8.1/lib/mail/network/delivery_methods/smtp.rb:101:in `deliver!'
/app/mailer.rb:42:in `confirm'";

pub(super) const OUT_OF_STOCK: &str = "\
*errors.errorString: product is out of stock
main.(*catalog).GetProduct
\t/src/catalog/server.go:187
shop/v1._Catalog_GetProduct_Handler.func1
\t/src/genproto/shop/v1/catalog_grpc.pb.go:141
google.golang.org/grpc.(*Server).processUnaryRPC
\t/go/pkg/mod/google.golang.org/grpc@v1.74.2/server.go:1405";
