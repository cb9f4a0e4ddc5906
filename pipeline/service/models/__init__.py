"""`/v1/models`, `/v1/chat/completions`, `/v1/completions`: names of models, and what is said to them."""
