"""Compresses messages by permessage-deflate (RFC 7692): what is agreed on, deflating and inflating."""
