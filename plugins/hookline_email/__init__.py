"""Email, sent by SMTP and received by IMAP."""
