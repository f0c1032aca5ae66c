use IO::Socket::INET;

$| = 1;
$SIG{TERM} = sub { exit 0 };
my $listener = IO::Socket::INET->new(LocalPort => $ENV{PORT}, Listen => 64, ReuseAddr => 1) or die "no port: $!\n";
print "listening on $ENV{PORT}\n";
while (my $client = $listener->accept) {
    while (my $line = <$client>) { last if $line =~ /^\r?$/ }
    open my $file, '<', 'page.txt' or die "no page: $!\n";
    my $body = join '', <$file>;
    print $client "HTTP/1.1 200 OK\r\nContent-Length: " . length($body) . "\r\nConnection: close\r\n\r\n$body";
    close $client;
}
