"""Photos and videos: recognized by content, decoded safely, resized."""
