"""Mails: what they say, and the outbox that loses none of them."""
