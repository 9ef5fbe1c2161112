-- The One Billion Row Challenge.
CREATE TABLE measurements (station STRING, temp DECIMAL(4, 1)) WITH ('format' = 'csv', 'delimiter' = ';', 'header' = 'false');
SELECT station, MIN(temp) AS min_temp, AVG(temp) AS avg_temp, MAX(temp) AS max_temp FROM measurements GROUP BY station;
