"""The queue of a SQL database, with the deliveries that each flow reads ahead."""
