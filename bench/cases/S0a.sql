-- All orders.
CREATE TABLE orders (order_id INT, customer_id INT, order_date STRING, total_amount DECIMAL(10, 2));
SELECT order_id, customer_id, order_date, total_amount FROM orders;
