"""Domain `api_json`: a customer-service API with logins, orders, shipments, refunds and customers."""
