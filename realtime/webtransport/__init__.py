"""WebTransport at the server, over aioquic (the extra `webtransport`): a UDP port beside the application's, whose
sessions are those of its endpoints.
"""
