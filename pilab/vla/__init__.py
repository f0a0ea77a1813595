"""The vision-language-action model: words, pictures and joints in; points, thoughts and actions out."""
